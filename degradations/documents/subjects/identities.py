"""One identity drawn once: sex, names, dates, height, hair and portrait of a holder agree, and obey the issuer's rules.

Nobody is meant: names are drawn from lists of names, numbers at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from degradations.documents.subjects import chinese, countries, mrz, names, scripts
from degradations.documents.subjects.said import Day, Rule, Said, fact
from degradations.documents.subjects.subject import Subject
from degradations.documents.subjects.values import characters, day, invented, pattern, pick, randomised

PORTRAITS = 640  # faces a split can draw; the test's are others
EYES = {"brown": "BRO", "blue": "BLU", "green": "GRN", "hazel": "HAZ", "grey": "GRY"}
HAIRS = {"black": "BLK", "brown": "BRO", "blond": "BLN", "red": "RED", "grey": "GRY", "bald": "BAL"}
EYE_WORDS = {
    "en": {"brown": "BROWN", "blue": "BLUE", "green": "GREEN", "hazel": "HAZEL", "grey": "GREY"},
    "de": {"brown": "BRAUN", "blue": "BLAU", "green": "GRÜN", "hazel": "GRÜNBRAUN", "grey": "GRAU"},
    "fr": {"brown": "MARRON", "blue": "BLEU", "green": "VERT", "hazel": "NOISETTE", "grey": "GRIS"},
    "es": {"brown": "MARRÓN", "blue": "AZUL", "green": "VERDE", "hazel": "AVELLANA", "grey": "GRIS"},
}
PERMITS = ("TEMPORARY", "PERMANENT", "STUDENT", "WORK", "FAMILY", "LONG-TERM", "RESEARCHER", "SEASONAL")
SUBJECTS = ("Physics", "Law", "Medicine", "History", "Chemistry", "Economics", "Biology", "Philosophy", "Architecture")
ROLES = (
    "Engineer",
    "Analyst",
    "Nurse",
    "Accountant",
    "Technician",
    "Designer",
    "Driver",
    "Librarian",
    "Porter",
    "Chemist",
)
UNITS = ("Radiology", "Logistics", "Finance", "Research", "Security", "Archive", "Maintenance", "Laboratory 2", "Sales")
VALIDITIES = {"anniversary": 0, "eve": 1}


@dataclass(frozen=True, slots=True)
class Sitter:
    """Whom a portrait shows. ``seed`` decides features, pose, clothes and light; no seed of the test is one of training."""

    sex: str
    age: int
    hair: str
    eyes: str
    seed: int


def draw_person(
    rng: np.random.Generator, split: str, issuer: Mapping[str, Any], rules: Mapping[str, Any], random: bool
) -> tuple[Subject, Sitter]:
    """The holder of a document of ``issuer`` and what it says of him, by ``rules`` (``PersonRules``).

    ``issuer`` may change a rule. With ``random`` texts are any texts of their shape, the same wherever they are printed.
    """
    rules = {**rules, **{key: value for key, value in issuer.items() if key in rules}}
    where = countries.country(issuer.get("country", "USA"))
    subject = Subject(rng, where, issuer.get("language") or where.language, issuer.get("date") or where.date, random)
    sex = pick(rng, "MF")
    issued = day(rng, date(rules["issued"][0], 1, 1), date(rules["issued"][1], 12, 31))
    age = _age(rng, rules["age"])
    born = day(rng, _years(issued, -age - 1) + timedelta(days=1), _years(issued, -age))
    years = int(pick(rng, rules["valid"]))
    expires = _years(issued, years)
    if rules["expires"] == "birthday":
        expires = _years(born, (expires.year - born.year))
    elif rules["expires"] == "eve":
        expires -= timedelta(days=1)
    sitter = _sitter(rng, split, sex, age, dark=where.code == "CHN")
    _names(subject, split, sex, rules)
    nationality = where.code
    if rules["foreign"]:
        nationality = pick(rng, tuple(c for c in countries.codes() if c != where.code and c != "CHN"))
    texts: dict[str, Any] = {
        "sex": sex,
        "nationality": nationality,
        "number": pattern(rng, pick(rng, rules["number"])),
        "personal_number": _personal(rng, where.code, born, sex, rules["personal_number"]),
    }
    for name, text in texts.items():
        said = text if isinstance(text, Said) else fact(name, text)
        subject.facts[name] = fact(name, randomised(rng, said.text)) if random else said
    for name, when in (("birth", born), ("issued", issued), ("expires", expires)):
        subject.facts[name] = _day(rng, name, when, random)
    # A permit's holder is a national of another country: zones say the issuer's code by its own rule (Germany's is D).
    zone = countries.country(texts["nationality"]).zone
    subject.facts["zone_nationality"] = (
        subject.facts["nationality"] if zone == texts["nationality"] or random else fact("zone_nationality", zone)
    )
    if zone != texts["nationality"] and not random:
        letters = tuple(f"nationality:{i}" for i in range(3))
        short = tuple(f"zone_nationality:{i}" for i in range(len(zone.rstrip("<"))))
        subject.rules += [Rule(letters, short, "code"), Rule(short, letters, "code")]
    _further(subject, sitter, born, rules, issuer)
    return subject, sitter


def _years(when: date, count: int) -> date:
    try:
        return when.replace(year=when.year + count)
    except ValueError:  # the 29th of February
        return when.replace(year=when.year + count, day=28)


def _age(rng: np.random.Generator, ages: list[int]) -> int:
    """Between the bounds, most of them in the middle of life."""
    low, high = ages
    return int(low + (high - low) * float(rng.beta(1.4, 2.0)))


def _day(rng: np.random.Generator, name: str, when: date, random: bool) -> Day:
    if random:
        return Day(
            name, characters(rng, "0123456789", 4), characters(rng, "0123456789", 2), characters(rng, "0123456789", 2)
        )
    return Day(name, f"{when.year:04d}", f"{when.month:02d}", f"{when.day:02d}")


def _sitter(rng: np.random.Generator, split: str, sex: str, age: int, *, dark: bool) -> Sitter:
    seed = int(rng.integers(PORTRAITS)) + (100_000 if split == "test" else 0)
    own = np.random.default_rng([seed, 11])  # a face keeps its hair and eyes on whatever card it is printed
    hair = pick(own, ("black", "black", "brown", "brown", "brown", "blond", "red"))
    eyes = pick(own, ("brown", "brown", "brown", "blue", "green", "hazel", "grey"))
    if dark:
        hair, eyes = "black", "brown"
    if age > 58 + 8 * own.random():
        hair = "grey"
    if sex == "M" and age > 32 and own.random() < 0.18:
        hair = "bald"
    return Sitter(sex, age, hair, eyes if hair != "black" or eyes != "blue" else "brown", seed)


def _names(subject: Subject, split: str, sex: str, rules: Mapping[str, Any]) -> None:
    rng, random = subject.rng, subject.random
    longest = rules["longest"]
    script = {"UKR": "ukrainian", "BGR": "bulgarian", "GRC": "greek"}.get(subject.country.code)
    if rules["names"] == "chinese":
        full = chinese.name(rng, split)
        subject.facts["name"] = fact("name", chinese.scrambled(rng, len(full)) if random else full)
        return
    if rules["names"] == "native" and script:
        for own, other, pool in (
            ("native_surname", "surname", scripts.surnames(script, sex, split)),
            ("native_given_names", "given_names", scripts.given_names(script, sex)),
        ):
            native, latin = pick(rng, tuple(pair for pair in pool if len(pair[1]) <= longest))
            subject.facts[own] = fact(own, native)
            if random:
                subject.facts[other] = fact(other, randomised(rng, latin, longest=longest))
                continue
            subject.facts[other] = fact(other, latin)
            subject.rules += [
                Rule(tuple(f"{other}:{i}" for i in range(*there)), tuple(f"{own}:{i}" for i in range(*here)), "script")
                for here, there in scripts.aligned(native, script)
            ]
            subject.rules += [
                Rule(rule.sources, rule.targets, "script")
                for rule in subject.rules
                if rule.targets[0].startswith(f"{other}:")
            ]
        return
    surname = pick(rng, names.surnames(split, subject.country.faker, longest))
    given = pick(rng, names.given_names(sex, subject.country.faker))
    if rng.random() < 0.25:
        both = f"{given} {pick(rng, names.given_names(sex, subject.country.faker))}"
        given = both if len(both) <= longest and both.split()[0] != both.split()[1] else given
    for name, text in (("surname", surname), ("given_names", given)):
        subject.facts[name] = fact(name, randomised(rng, text, longest=longest) if random else text)


def _personal(rng: np.random.Generator, code: str, born: date, sex: str, form: str) -> Said:
    """A personal number in which the date of birth stands (as YYMMDD or whole) where ``form`` says ``{birth}``."""
    if form == "chinese":
        return chinese.identity_number(rng, born, sex)
    when = Day("birth", f"{born.year:04d}", f"{born.month:02d}", f"{born.day:02d}")
    before, _, after = form.partition("{birth}")
    result = Said("", ())
    for part in (before, after):
        text = pattern(rng, part)
        place = len(result.text)
        result += Said(text, tuple(f"personal_number:{place + i}" for i in range(len(text))))
        if part is before and "{birth}" in form:
            result += when.said("zone")
    return result


def _further(subject: Subject, sitter: Sitter, born: date, rules: Mapping[str, Any], issuer: Mapping[str, Any]) -> None:
    """Facts that are drawn when a template asks for them."""
    rng, where = subject.rng, subject.country
    tall = rng.normal(177, 7) if sitter.sex == "M" else rng.normal(164, 6.5)
    if sitter.age < 16:
        tall -= (16 - sitter.age) * 5.5
    height = int(min(max(tall, 100), 203))
    inches = round(height / 2.54)
    weight = int(min(max(rng.normal(24.5, 3.5), 18), 38) * (height / 100) ** 2)
    subject.makers |= {
        "height": lambda: str(height),
        "height_feet": lambda: f"{inches // 12}-{inches % 12:02d}",
        "weight": lambda: str(round(weight * 2.2046)),
        "eyes": lambda: EYES[sitter.eyes],
        "hair": lambda: HAIRS[sitter.hair],
        "eye_colour": lambda: EYE_WORDS.get(subject.language, EYE_WORDS["en"])[sitter.eyes],
        "street": lambda: invented(rng, "street_address", rules["street"], where.faker),
        "city": lambda: invented(rng, "city", 16, where.faker),
        "postcode": lambda: pattern(
            rng, {"USA": "99999", "GBR": "AA9 9AA", "NLD": "9999 AA", "POL": "99-999"}.get(where.code, "99999")
        ),
        "birthplace": lambda: invented(rng, "city", 13, where.faker),
        "authority": lambda: pattern(rng, str(issuer.get("authority", "AAA 99999"))),
        "access_number": lambda: pattern(rng, "999999"),
        "audit": lambda: pattern(rng, "99999999AA9999999"),
        "class": lambda: pick(rng, rules["classes"]),
        "permit_type": lambda: pick(rng, PERMITS),
        "study": lambda: pick(rng, SUBJECTS),
        "role": lambda: pick(rng, ROLES),
        "unit": lambda: pick(rng, UNITS),
        "blood": lambda: pick(rng, ("O+", "A+", "B+", "AB+", "O-", "A-")),
        "institution": lambda: pattern(rng, "9999999999") if where.two != "DE" else "10" + pattern(rng, "9999999"),
        "card_number": lambda: _card_number(rng, where),
        "donor": lambda: pick(rng, ("DONOR", "VETERAN", "")),
        "issuer": lambda: str(issuer.get("name", where.code)),
        "country": lambda: where.zone.rstrip("<"),
        "father": lambda: f"{pick(rng, names.given_names('M', where.faker))} {_text(subject, 'surname')}",
        "section": lambda: pattern(rng, "9999"),
        "voter_key": lambda: _voter_key(subject, born, sitter.sex),
        "visa_type": lambda: pick(rng, ("C", "D")),
        "entries": lambda: pick(rng, ("01", "02", "MULT")),
        "stay": lambda: pick(rng, ("30", "60", "90")),
        "passport_number": lambda: pattern(rng, "AA9999999"),
        "ethnicity": lambda: chinese.scrambled(rng, 1) if subject.random else pick(rng, chinese.ETHNICITIES),
        "chinese_sex": lambda: _chinese_sex(subject),
        "chinese_address": lambda: _scrambled(subject, chinese.address(rng)),
        "greek_sex": lambda: _worded_sex(subject),
        "zone_issuer": lambda: where.zone,
    }


def _text(subject: Subject, name: str) -> str:
    found = subject.facts[name]
    assert isinstance(found, Said)
    return found.text


def _scrambled(subject: Subject, text: str) -> str:
    return chinese.scrambled(subject.rng, len(text)) if subject.random else text


def _chinese_sex(subject: Subject) -> Said:
    if subject.random:
        return fact("chinese_sex", chinese.scrambled(subject.rng, 1))
    subject.rules += [
        Rule(("chinese_sex:0",), ("personal_number:16",), "parity"),
    ]
    return fact("chinese_sex", "男" if _text(subject, "sex") == "M" else "女")


def _worded_sex(subject: Subject) -> Said:
    """M or F beside its letter in another script, as bilingual cards have it: Ж / F."""
    male = _text(subject, "sex") == "M"
    letter = {"UKR": "ЧЖ", "BGR": "МЖ", "GRC": "ΑΘ"}.get(subject.country.code, "MF")[0 if male else 1]
    subject.rules += [Rule(("sex:0",), ("greek_sex:0",), "script")]
    return fact("greek_sex", letter)


def _card_number(rng: np.random.Generator, where: countries.Country) -> str:
    """Twenty digits: 80, the country's number, the institution, a serial, and Luhn's digit (EN 1867)."""
    body = "80" + pattern(rng, "999") + pattern(rng, "99999") + pattern(rng, "999999999")
    return body + countries.luhn(body)


def _voter_key(subject: Subject, born: date, sex: str) -> Said:
    """Six consonants of the names, the date of birth as YYMMDD, a region, the sex, three digits."""
    rng = subject.rng
    head = "".join(c for c in _text(subject, "surname") + _text(subject, "given_names") if c not in "AEIOU -'")
    result = fact("voter_key", (head + "XXXXXX")[:6])
    birth = subject.facts["birth"]
    assert isinstance(birth, Day)
    result += birth.said("zone")
    tail = pattern(rng, "99")
    result += Said(tail, ("voter_key:6", "voter_key:7"))
    letter = subject.facts["sex"]
    assert isinstance(letter, Said)
    # Such keys say H and M for men and women.
    if subject.random:
        result += letter
    else:
        result += Said("H" if sex == "M" else "M", ("voter_sex:0",))
        subject.rules += [Rule(("sex:0",), ("voter_sex:0",), "code"), Rule(("voter_sex:0",), ("sex:0",), "code")]
    tail = pattern(rng, "999")
    return result + Said(tail, ("voter_key:8", "voter_key:9", "voter_key:10"))


def zone(subject: Subject, kind: str, code: str) -> tuple[Said, ...]:
    """The lines of a machine readable zone (``td1``, ``td3``, ``visa``) of what the subject says of its holder."""
    facts = subject.facts
    said: dict[str, Said] = {}
    for name in ("surname", "given_names", "number", "sex"):
        value = facts[name]
        assert isinstance(value, Said)
        said[name] = value
    birth, expires = facts["birth"], facts["expires"]
    assert isinstance(birth, Day) and isinstance(expires, Day)
    subject.told |= {*said, "birth", "expires", "nationality"}
    issuer = subject.fact("zone_issuer")
    nationality = facts["zone_nationality"]
    assert isinstance(issuer, Said) and isinstance(nationality, Said)
    if nationality.text == issuer.text:
        issuer = nationality  # the same three letters: the code of the state stands twice
    lines, rules = mrz.zone(
        kind,
        code,
        issuer=issuer,
        nationality=nationality,
        birth=birth.said("zone"),
        expiry=expires.said("zone"),
        surname=said["surname"],
        given_names=said["given_names"],
        number=said["number"],
        sex=said["sex"],
    )
    subject.rules += rules
    return lines
