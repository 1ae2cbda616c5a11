"""The comparison of userNames by the UsernameCaseMapped profile of PRECIS (RFC 7644 section 5)."""

import unicodedata

_WIDTHS = {
    code: chr(int(parts[1], 16))
    for code in (0x3000, *range(0xFF00, 0xFFF0))
    if (parts := unicodedata.decomposition(chr(code)).split()) and parts[0] in ("<wide>", "<narrow>")
}
"""Full-width and half-width characters with their normal forms."""


def prepare(user_name: str) -> str:
    """The form of a userName that is compared, filtered and sorted by; names with the same form are equal.

    The steps of RFC 7613 section 3.2.2, which RFC 7644 refers to: width mapping, Unicode default case folding, NFC. Its
    successor, RFC 8265, has lower case in the place of case folding, by which a name with a final sigma would differ
    from the same name in capitals. NFD comes first, so that canonically equal names stay equal (Unicode, D145).
    """
    if user_name.isascii():
        return user_name.lower()
    folded = unicodedata.normalize("NFD", user_name.translate(_WIDTHS)).casefold()
    return unicodedata.normalize("NFC", folded)
