"""Characters that steer what is shown, and a text that uses them to deceive."""

from __future__ import annotations

import re
import sys
import unicodedata

# What languages and emoji need: soft hyphens, marks around numbers, break opportunities, joiners, hieroglyphs.
NEEDED = re.compile(
    "[\u00ad\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u200b-\u200d\U000110bd\U000110cd\U00013430-\U0001343f]"
)
ALL = [each for each in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(each) in ("Cf", "Zl", "Zp")]
HARMFUL = [each for each in ALL if not NEEDED.match(each)]
FAMILY, WALES = (
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in "gbwls") + "\U000e007f",
)
# Persian with a ZWNJ, Hebrew, Arabic with figures; emoji that are sequences.
KEPT = f"\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 שלום، 123 \u0639\u0631\u0628 {FAMILY} {WALES}"
TROJAN = "is_admin\u202e \u2066# check if admin\u2069 \u2066"
TROJAN_SHOWN = r"is_admin\u202e \u2066# check if admin\u2069 \u2066"
