"""A packet of XMP: written by us, and read from a file of anybody.

RDF in XML: XMP specification, part 1 (ISO 16684-1). Reading expands no entity and fetches nothing:
a packet with a document type is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape

from batchgen.output.metadata.label import Label

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMP = "http://ns.adobe.com/xap/1.0/"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
OWN = "urn:batchgen:1.0:"
"""Our namespace; its names are `ReceivedSha256` and `Provenance`."""
PROPERTIES = {
    f"{IPTC} DigitalSourceType": "source_type",
    f"{XMP} CreatorTool": "creator_tool",
    f"{XMP} CreateDate": "created_at",
    f"{OWN} ReceivedSha256": "received_sha256",
    f"{OWN} Provenance": "provenance",
}
"""Namespace and name, as expat gives them -> field of `Embedded`."""
DEEPEST = 64
"""Elements inside each other."""
ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""What XML refuses or a reader may take for the end of a line; JSON escapes other controls."""


class BadPacket(ValueError):
    """A packet that is not read; its text says why."""


def packet(label: Label) -> bytes:
    """The packet that says this, in UTF-8."""
    properties = {
        "Iptc4xmpExt:DigitalSourceType": label.source_type.value,
        "xmp:CreatorTool": label.creator_tool,
        "xmp:CreateDate": label.created_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "batchgen:ReceivedSha256": label.received_sha256,
    }
    if label.provenance is not None:
        properties["batchgen:Provenance"] = to_json(label.provenance)
    lines = (f"   <{name}>{escape(text)}</{name}>\n" for name, text in properties.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        f' <rdf:RDF xmlns:rdf="{RDF}">\n'
        f'  <rdf:Description rdf:about="" xmlns:xmp="{XMP}"\n'
        f'    xmlns:Iptc4xmpExt="{IPTC}" xmlns:batchgen="{OWN}">\n'
        f"{''.join(lines)}"
        "  </rdf:Description>\n"
        " </rdf:RDF>\n"
        "</x:xmpmeta>\n"
        '<?xpacket end="w"?>'
    ).encode()


def to_json(fields: Mapping[str, Any]) -> str:
    """Readable JSON in characters that XML takes: the others are escaped, which JSON undoes."""
    return ESCAPED.sub(
        lambda match: f"\\u{ord(match[0]):04x}", json.dumps(fields, ensure_ascii=False)
    )


def properties_of(data: bytes) -> dict[str, str]:
    """The properties of a packet that we know, by their field of `Embedded`.

    Raises:
        BadPacket: it is not UTF-8, no XML, has a document type, or is nested absurdly deep.
    """
    reader = _Reader()
    parser = expat.ParserCreate("utf-8", namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(data.rstrip(b"\0 \n\r\t"), True)  # noqa: FBT003  # expat's own way
    except expat.ExpatError as error:
        raise BadPacket(f"its XMP is no XML: {error}") from error
    return reader.found


def _refuse_doctype(*_: object) -> None:
    raise BadPacket("its XMP has a document type, which may hold anything: it is not read")


@dataclass(slots=True)
class _Reader:
    """Collects the properties that we know, as elements or as attributes of a description."""

    found: dict[str, str] = field(default_factory=dict)
    _depth: int = 0
    _name: str | None = None
    """Field of the property that we are in."""
    _until: int = 0
    """Depth at which it ends."""
    _parts: list[str] = field(default_factory=list)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise BadPacket("its XMP is nested too deep")
        if name == f"{RDF} Description":
            for key, value in attributes.items():
                if key in PROPERTIES:
                    self.found.setdefault(PROPERTIES[key], value)
        elif self._name is None and name in PROPERTIES:
            self._name, self._until, self._parts = PROPERTIES[name], self._depth, []

    def end(self, _: str) -> None:
        if self._name is not None and self._depth == self._until:
            self.found.setdefault(self._name, "".join(self._parts))
            self._name = None
        self._depth -= 1

    def text(self, data: str) -> None:
        if self._name is not None:
            self._parts.append(data)
