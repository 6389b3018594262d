"""The problems that a file can have before any rule of the fleet looks at it: how it is found, read, parsed, shaped.

One entry per code, with the long text that `mlab explain` prints. The rules of the fleet are in `fleet/rules`.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconcilers.core.model import Diagnostic, Span


@dataclass(frozen=True, slots=True)
class Code:
    """A kind of problem: code, name, one line, and the long text for `explain`."""

    code: str
    name: str
    summary: str
    text: str

    def at(
        self,
        span: Span,
        message: str,
        *,
        end: tuple[int, int] = (0, 0),
        hint: str = "",
        related: tuple[tuple[Span, str], ...] = (),
    ) -> Diagnostic:
        """A diagnostic of this kind."""
        return Diagnostic(self.code, self.name, message, span, end=end, hint=hint, related=related)


MISSING = Code(
    "F01",
    "config.missing",
    "config/ and its folders of environments, sites and experiments exist",
    "An absent source folder must never read as 'nothing is wanted': that would plan the deletion of everything.",
)
STRAY = Code(
    "F02",
    "config.stray",
    "config/ holds known folders of *.yaml files and nothing else",
    "A file that no kind claims would be silently ignored. Names that begin with a dot are left alone, except *.yaml.",
)
FILE = Code(
    "F03",
    "config.unreadable",
    "every file is a regular, readable file inside the tree",
    "Directories and FIFOs named *.yaml, links that dangle, loop or leave the checkout, and unreadable files are "
    "refused: what a review shows must be what is read.",
)
SIZE = Code(
    "F04",
    "config.too-large",
    "a file has at most 1 MiB",
    "One object per file needs a few KiB. The limit keeps a generated file from stopping everybody's validation.",
)
ENCODING = Code(
    "Y01",
    "yaml.encoding",
    "files are UTF-8 without byte order mark or control characters",
    "Editors and parsers disagree on other encodings and on exotic line breaks, so lines would be counted differently.",
)
SYNTAX = Code(
    "Y02",
    "yaml.syntax",
    "the file is well-formed YAML",
    "The parser stops at the first error of a file; other files are still checked. Indent with spaces; quote a value "
    "that holds ': ' or ' #', or begins with one of []{}&*!|>%@`\"'.",
)
DOCUMENTS = Code(
    "Y03",
    "yaml.one-document",
    "a file holds exactly one document",
    "One object per file, named after it; a second document would hide from whoever looks for it by name.",
)
DUPLICATE = Code(
    "Y04",
    "yaml.duplicate-key",
    "no key occurs twice in a mapping",
    "Most YAML readers silently take the last one, so the line under review may not be the one that counts.",
)
KEY = Code(
    "Y05",
    "yaml.key",
    "keys are strings",
    "Configuration is JSON in another coat: keys that are numbers, booleans, null, lists or mappings have no JSON "
    "form. Quote the key.",
)
ANCHOR = Code(
    "Y06",
    "yaml.anchor",
    "anchors, aliases and merge keys are not used",
    "An alias changes a value far from the line under review, and nested ones expand without bound. Repeat the value.",
)
TAG = Code(
    "Y07",
    "yaml.tag",
    "tags and directives are not used",
    "A tag makes the reader build something else than what is written, in some programs even run code.",
)
SCALAR = Code(
    "Y08",
    "yaml.ambiguous",
    "unquoted scalars mean the same to YAML 1.1 and 1.2",
    "010, 0o10, 0x10, 1_000, 12:30 and 1e3 are different values to different readers. Quote the text, or write the "
    "number in plain decimal. NO, on, yes and dates are strings here, as in YAML 1.2; `mlab fmt` quotes them for "
    "other readers.",
)
DEPTH = Code(
    "Y09",
    "yaml.depth",
    "values are nested at most 32 deep",
    "No kind of ours needs more than eight levels; deeper input is a mistake or an attack on the parser.",
)
UNKNOWN_KEY = Code(
    "C01",
    "schema.unknown-key",
    "only keys of the schema are used",
    "An unknown key is mostly a misspelt one, and the value meant by it would silently be the default.",
)
MISSING_KEY = Code(
    "C02",
    "schema.missing-key",
    "required keys are present",
    "The place is that of the mapping which lacks the key. Some keys are required only together with others.",
)
TYPE = Code(
    "C03",
    "schema.type",
    "values have the schema's type",
    "YAML 1.2: true and false are the booleans; yes, no, on and off are strings; 1.10 is the number 1.1 unless quoted.",
)
VALUE = Code(
    "C04",
    "schema.value",
    "values are among those that the schema permits",
    "The value is not in the list, does not have the pattern, or is no valid date, address or URL.",
)
RANGE = Code(
    "C05",
    "schema.range",
    "numbers, lengths and counts are within the schema's limits",
    "The message gives the value, the limit, and which side of it the value is on.",
)
KIND = Code(
    "C06",
    "schema.kind",
    "`kind` is known and belongs to the folder",
    "Each folder of config/ holds its own kinds only, so that a file is found by what it describes.",
)
FORBIDDEN = Code(
    "C07",
    "schema.combination",
    "keys and values fit together",
    "A value is right by itself but not beside the others of this object, for example a switch at a virtual site.",
)
UNIQUE = Code(
    "C08",
    "schema.unique",
    "lists of a set hold each item once",
    "The list is a set; the second occurrence changes nothing or contradicts the first.",
)

ALL = (
    MISSING,
    STRAY,
    FILE,
    SIZE,
    ENCODING,
    SYNTAX,
    DOCUMENTS,
    DUPLICATE,
    KEY,
    ANCHOR,
    TAG,
    SCALAR,
    DEPTH,
    UNKNOWN_KEY,
    MISSING_KEY,
    TYPE,
    VALUE,
    RANGE,
    KIND,
    FORBIDDEN,
    UNIQUE,
)
