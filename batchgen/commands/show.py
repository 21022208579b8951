"""`batchgen show`: how an image was made, and what past runs came to."""

from __future__ import annotations

from pathlib import Path

import click

from batchgen.commands import options
from batchgen.errors import ExitCode, InputError


@click.command(name="show")
@click.argument("path", type=options.EXISTING_PATH, metavar="IMAGE|MANIFEST|FOLDER")
@click.option(
    "--manifest",
    type=options.EXISTING_PATH,
    metavar="MANIFEST|FOLDER",
    help="Where an image is looked for; else in all manifests around it.",
)
@click.option("--failed", is_flag=True, help="List the tasks that failed, and why.")
@click.option("--filtered", is_flag=True, help="List those that moderation refused, and why.")
@click.option("--last-run", is_flag=True, help="Only the last run.")
@options.json_option
def command(
    path: Path,
    *,
    manifest: Path | None,
    failed: bool,
    filtered: bool,
    last_run: bool,
    as_json: bool,
) -> int:
    """Tell how an image was made, or what the runs of an output came to, night by night.

    An image is known by its bytes, in the nearest manifest: it may have been renamed or copied.
    The first line says with which seed, model and prompt it was made. Ends with 5 if only its name
    is on record, and its bytes are other ones.
    """
    from batchgen.output import is_manifest, manifest_of
    from batchgen.record import Status

    if not is_manifest(path):
        if failed or filtered or last_run:
            raise InputError("--failed, --filtered and --last-run are for a manifest or a folder.")
        from batchgen.commands.show_image import show_image

        return show_image(path, manifest, as_json=as_json)
    from batchgen.commands.show_runs import list_tasks, show_nights

    wanted = [Status.FAILED] * failed + [Status.FILTERED] * filtered
    file = manifest_of(path)
    if wanted:
        list_tasks(file, wanted, last_run=last_run, as_json=as_json)
    else:
        show_nights(file, last_run=last_run, as_json=as_json)
    return ExitCode.DONE
