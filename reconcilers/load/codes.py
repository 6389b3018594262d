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
        severity: str = "error",
    ) -> Diagnostic:
        """A diagnostic of this kind."""
        return Diagnostic(self.code, self.name, message, span, end=end, severity=severity, hint=hint, related=related)


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
HISTORY = Code(
    "G01",
    "history.missing",
    "the full history of config/ is at hand",
    "Some rules compare the configuration with its past: whether a name was another site's, whether a site drained "
    "before it went, who had an index lately. In a tarball, a shallow or a partial clone they are not checked, and one "
    "notice names them; the exit status stays what it is. `git fetch --unshallow` completes a shallow clone.",
)
JSONNET = Code(
    "J01",
    "jsonnet.evaluate",
    "the files below jsonnet/ can be evaluated for what config/ says",
    "The message names the missing field or the failed assertion, the place in the jsonnet file, and the line of the "
    "configuration on whose behalf it was rendered.",
)
TWICE = Code(
    "R01",
    "render.duplicate",
    "no two objects of the configuration make the same resource",
    "A resource is known by its id alone, so that two of one id would overwrite each other in every apply.",
)
SHAPE = Code(
    "R02",
    "render.shape",
    "what jsonnet/ makes for Kubernetes are manifests",
    "A manifest has apiVersion, kind and metadata.name. Anything else is a defect of the component that made it.",
)
ALERTS = Code(
    "R03",
    "render.alerts",
    "a monitored environment has alert groups and one routing",
    "Without them every alert would be taken away, which nobody notices because nothing fires.",
)
IMPORT = Code(
    "I01",
    "import.source",
    "an inventory to import is complete and in siteinfo's form",
    "The place is that of the source, not of this checkout: correct it there and import again. Nothing was written.",
)
FORM = Code(
    "H01",
    "hook.format",
    "YAML and jsonnet are in the form of `mlab fmt`",
    "One form keeps a diff down to what was meant. `mlab fmt` rewrites the file; comments and values stay as they are.",
)
SECRET = Code(
    "H02",
    "hook.secret",
    "no file holds what looks like a secret",
    'What git once held it holds for ever, on every clone. Refer to a secret (`secretRef: "file:/run/secrets/NAME"`) '
    "and revoke the one that was written here. A harmless value is told apart by a comment `pragma: allowlist secret` "
    "on its line, or by an entry in .secrets.baseline. Nothing is asked over the network.",
)
SCHEMA_FILE = Code(
    "H03",
    "hook.schema",
    "schemas are valid, one for each kind, and the editor's settings are made from them",
    "Editors, hooks and this program read the same schemas. `mlab schema --write` brings them into the form and makes "
    ".vscode/settings.json anew.",
)
WORKFLOW = Code(
    "H04",
    "hook.workflow",
    "workflows are what GitHub accepts, and give nobody more than they need",
    "actionlint reads them as GitHub does; zizmor looks for injected expressions, unpinned actions, excessive "
    "permissions and credentials that stay behind.",
)

ZONES = (
    Code(
        "D01",
        "zone.unlisted",
        "a zone that a project serves is in targets.dns.zones of its environment",
        "The list says which zones may be written, and keeps a zone whose file is gone from being forgotten with its "
        "records. Add the zone to it, or name the projects that serve it in config/zones/.",
    ),
    Code(
        "D02",
        "zone.alias",
        "an alias stands alone, and never at the apex",
        "Where a CNAME is, no other type can be (RFC 1034, 3.6.2); at the apex there always is the zone's SOA record. "
        "Name servers ignore the second record or refuse the zone.",
    ),
    Code(
        "D03",
        "zone.target",
        "what an alias, a delegation or a mail exchange names is there",
        "A name in a zone of ours must be in it, or be delegated out of it. Names elsewhere are not looked up, and "
        "_acme-challenge may point to what is made only while a certificate is asked for.",
    ),
    Code(
        "D04",
        "zone.address",
        "an address lies in the prefix of the site whose file it comes from",
        "A virtual site has its machines' own addresses only. A record that leads to somebody else's network sends "
        "clients there.",
    ),
    Code(
        "D05",
        "zone.name",
        "a name has at most 253 characters, and each part of it at most 63",
        "RFC 1035, 2.3.4. The limits hold for the whole name, the zone's own included.",
    ),
    Code(
        "D06",
        "zone.ttl",
        "a time to live is between 30 seconds and a day",
        "Shorter ones load the servers and gain nothing; with longer ones a mistake cannot be taken back in time.",
    ),
    Code(
        "D07",
        "zone.count",
        "each machine has exactly the records that its experiments imply",
        "One address of the controller of a physical machine; of the machine and of each experiment on it, an A and, "
        "with IPv6, an AAAA record, each also under the name with one family only. Fewer means that two of its names "
        "fall together.",
    ),
    Code(
        "D08",
        "zone.reverse",
        "a reverse record names a host that has its address",
        "Only reverse records in zones of ours are compared.",
    ),
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
    HISTORY,
    JSONNET,
    TWICE,
    SHAPE,
    ALERTS,
    IMPORT,
    FORM,
    SECRET,
    SCHEMA_FILE,
    WORKFLOW,
    *ZONES,
)
