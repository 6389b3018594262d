"""Which continents a country may be said to lie on: ISO 3166-1 and the two letters that Locate and its clients use.

Countries on two continents are listed under both, for the fleet follows the metro and not the capital. Overseas
territories have codes of their own and stand where they lie.
"""

from __future__ import annotations

_COUNTRIES = {
    "AF": "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU MW MZ NA "
    "NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW",
    "AN": "AQ BV GS HM TF",
    "AS": "AE AF AM AZ BD BH BN BT CC CN CX CY EG GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV "
    "MY NP OM PH PK PS QA RU SA SG SY TH TJ TL TM TR TW UZ VN YE",
    "EU": "AD AL AM AT AX AZ BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GE GG GI GR HR HU IE IM IS IT JE KZ LI LT LU "
    "LV MC MD ME MK MT NL NO PL PT RO RS RU SE SI SJ SK SM TR UA VA XK",
    "NA": "AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA PM PR SV SX TC "
    "TT US VC VG VI",
    "OC": "AS AU CK FJ FM GU ID KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TL TO TV UM VU WF WS",
    "SA": "AR BO BR BQ CL CO CW EC FK GF GY PE PY SR TT UY VE",
}
_OF: dict[str, tuple[str, ...]] = {
    country: tuple(continent for continent, inside in _COUNTRIES.items() if country in inside.split())
    for country in sorted({country for inside in _COUNTRIES.values() for country in inside.split()})
}


def of(country: str) -> tuple[str, ...]:
    """The continents of a country by its code; none if there is no such country."""
    return _OF.get(country, ())
