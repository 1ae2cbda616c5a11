"""Common passwords: words, names and keyboard rows that attackers try first, and their simple variations; no I/O."""

import re
from collections.abc import Iterable, Iterator

from quartet_scim.filters import fold

LEAST_UNIT = 8
"""A repeated text of fewer characters is weak, however long the password is."""
LEAST_CONTEXT = 4
"""The minimum length of a part of a name that is searched for."""
LEAST_PIECE = 3
"""The minimum length of each of two joined words, and of a part of a keyboard row."""
LONGEST_KNOWN = 80
MOST_DIGITS = 7
"""Digits before or after a common word that do not make it stronger."""
LIST = """
aa123456 abc123 abcd1234 access account action admin admin123 adminadmin administrator alexander amanda america andrew
angel angels anthony apple april arsenal asdf asdfgh ashley august austin autumn awesome azerty babygirl bailey banana
barcelona baseball basketball batman beautiful blahblah blessed blink182 bonjour brandon buster butterfly changeme
charlie cheese chelsea chester chicken chocolate christ christian cocacola coffee company computer contrasena cookie
correcthorse daniel december default demo diamond dolphin donald dragon dubsmash elephant eminem enter facebook family
february flower football forever freedom friday friend friends gandalf geheim george ginger google guest hacker hallo
hannah hannover harley haslo heaven hello helloworld hockey hola hottie hunter hunter2 iloveyou internet jackson
january jasmine jennifer jessica jesus jetaime jordan joshua july june justin kennwort killer king klaster letmein
liverpool login london lovely loveme loveyou lucky maggie manager manchester march marina martin master matrix matthew
melissa merlin michael michelle michigan microsoft minecraft mobile monday money monkey monster motdepasse mother
mustang myspace naruto nathan newpassword nicole nothing november number1 october oracle orange pa55word parol parola
pass passphrase passport passw0rd passwd password passwords passwort patrick peanut pepper phoenix pokemon postgres
princess private privet purple qazwsx qwert qwerty qwertz rachel rainbow ranger robert rockyou root salasana samantha
sample samsung saturday schatz scooter secret secure security senha september server service shadow silver slipknot
soccer soleil sophie spider spring startrek starwars steelers summer sunday sunflower sunshine superadmin superman
superstar support sweety system target taylor temp temporary tequiero test tester testing thomas thunder thursday
tigger tinkerbell trustno1 tucker tuesday user username victoria wachtwoord wednesday welcome whatever william winner
winter wizard yankees yellow zaqwsx zxcvbn
"""
WORDS = frozenset(LIST.split())
KEYS = r"""
12345678901234567890 qwertyuiop asdfghjkl zxcvbnm qwertyuiopasdfghjklzxcvbnm abcdefghijklmnopqrstuvwxyz qwertzuiop
yxcvbnm azertyuiop qsdfghjklm wxcvbn 1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p qazwsxedcrfvtgbyhnujmikolp
zaq12wsxcde34rfvbgt56yhnmju78 1q2w3e4r5t6y7u8i9o0p q1w2e3r4t5y6u7i8o9p0 !@#$%^&*() !"#$%&'()
"""
ROWS = KEYS.split()
"""Neighbours on a keyboard or in an alphabet."""
RUNS = "\n".join(run for row in ROWS for run in (row * 2, row[::-1] * 2))
SUBSTITUTES = str.maketrans("@4301!$57+", "aaeoiisstt"), str.maketrans("@4301!$57+", "aaeolisstt")
"""Letters that digits and signs are used for."""
DIGITS = "0123456789"
NOT_ALPHANUMERIC = re.compile(r"[\W_]+")


def is_common(password: str, names: Iterable[str]) -> bool:
    """Whether `password` is a common one or one of `names` (of the user, the tenant, the product), or a variation:
    another case, signs instead of letters or between them, a few digits before or after, reversed, two of them joined,
    or a short text that is repeated.
    """
    words = WORDS.union(*(_parts(fold(name)) for name in names))
    folded = fold(password)
    forms = {folded, *(_squeezed(folded.translate(table)) for table in ({}, *SUBSTITUTES))}
    return any(_is_weak(form, words) for form in forms)


def _parts(name: str) -> Iterator[str]:
    """A name without separators, and its words."""
    yield _squeezed(name)
    yield from (part for part in NOT_ALPHANUMERIC.split(name) if len(part) >= LEAST_CONTEXT)


def _squeezed(text: str) -> str:
    return NOT_ALPHANUMERIC.sub("", text)


def _is_weak(text: str, words: frozenset[str]) -> bool:
    core = text.strip(DIGITS)
    start = text.find(core)
    digits = (text[:start], text[start + len(core) :]) if core else ()
    if all(len(some) <= MOST_DIGITS or _is_repeated(some, words) for some in digits) and _is_repeated(core, words):
        return True
    return core != text and _is_repeated(text, words)


def _is_repeated(text: str, words: frozenset[str]) -> bool:
    """Whether `text` is a known unit, once or repeated and maybe cut off, or a short text that is repeated."""
    if not text:
        return False
    size = next(size for size in range(1, len(text) + 1) if text[size:] == text[: len(text) - size])
    return size < min(LEAST_UNIT, len(text)) or _is_known(text[:size], words) or _is_known(text, words)


def _is_known(text: str, words: frozenset[str]) -> bool:
    """Whether `text` is a word, also reversed, a part of a keyboard row, or two of these."""
    if len(text) > LONGEST_KNOWN:
        return False
    return _is_piece(text, words) or any(
        _is_piece(text[:place], words) and _is_piece(text[place:], words)
        for place in range(LEAST_PIECE, len(text) - LEAST_PIECE + 1)
    )


def _is_piece(text: str, words: frozenset[str]) -> bool:
    return text in words or text[::-1] in words or (len(text) >= LEAST_PIECE and text in RUNS)
