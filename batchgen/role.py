"""Credentials of a role that is assumed; and what is wrong with a role or a profile, as a sentence.

Asking for a role costs nothing, so the SDK may ask again. Its credentials live for an hour; each
call that is signed in their last quarter of an hour brings others first.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import aiobotocore.session
import botocore.exceptions
from aiobotocore.config import AioConfig
from aiobotocore.credentials import (
    AioAssumeRoleCredentialFetcher,
    AioDeferredRefreshableCredentials,
)

from batchgen.account_errors import failed, refused
from batchgen.errors import ServiceUnusable
from batchgen.service_errors import local_error
from batchgen.text import quoted, sentences

SESSION_NAME = "batchgen"
"""In the account's audit trail: who acts as the role."""
METHOD = "assume-role"
"""The SDK's word for credentials that came so."""
PROFILE_ADVICE = "`aws configure list-profiles` lists those that this machine has"


def assuming(source: Any, role: str, *, url: str | None, config: AioConfig) -> Any:
    """A session of aiobotocore that acts as a role.

    Args:
        source: session of the SDK whose credentials may assume it.
        role: its ARN.
        url: of STS; None: the endpoint that AWS has for the Region.
        config: how STS is asked.
    """
    acting = aiobotocore.session.get_session()
    acting.register_component("credential_provider", _Role(source, role, url, config))
    return acting


class _Role:
    """What the SDK asks for credentials, in place of its chain of files and variables."""

    def __init__(self, source: Any, role: str, url: str | None, config: AioConfig) -> None:
        self._source = source
        self._role = role
        self._client = partial(source.client, endpoint_url=url, config=config)

    async def load_credentials(self) -> Any:
        """Credentials that assume the role when they are first used."""
        found = await self._source.get_credentials()
        if found is None:
            raise botocore.exceptions.NoCredentialsError
        fetcher = AioAssumeRoleCredentialFetcher(
            self._client, found, self._role, extra_args={"RoleSessionName": SESSION_NAME}
        )
        return AioDeferredRefreshableCredentials(partial(_fetch, fetcher), METHOD)


async def _fetch(fetcher: AioAssumeRoleCredentialFetcher) -> Any:
    """What STS says; a call that waits for its signature was not sent, whatever happens here."""
    try:
        return await fetcher.fetch_credentials()
    except Exception as error:
        ours = local_error(error, sent=False)
        if ours is None:
            raise
        raise ours from error


def unusable(error: Exception, *, profile: str | None, role: str | None) -> ServiceUnusable:
    """Why no client can be opened, with what a person can do.

    Args:
        error: what the SDK raised on the way to credentials.
        profile: whose name the job gives, if it gives one.
        role: the same, an ARN.
    """
    if isinstance(error, botocore.exceptions.ProfileNotFound) and profile is not None:
        return ServiceUnusable(sentences(f"There is no profile {quoted(profile)}", PROFILE_ADVICE))
    client_error = isinstance(error, botocore.exceptions.ClientError)
    why = refused(error, "") if client_error else failed(error)
    if role is not None:
        by = f" with the profile {quoted(profile)}" if profile is not None else ""
        text = f"The role {role} cannot be assumed{by}: {why}"
        return ServiceUnusable(sentences(text, why.advice))
    if profile is not None:
        text = f"The profile {quoted(profile)} cannot be used: {why}"
        return ServiceUnusable(sentences(text, why.advice))
    return ServiceUnusable(f"AWS cannot be used: {error}")
