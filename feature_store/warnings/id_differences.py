"""How two tables write the same ids differently: leading zeros, `.0`, case, white space, a prefix, and the like."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import takewhile

import polars as pl

N_SAMPLED = 1000
"""Unmatched ids that are compared with all known ones, at most."""
_CLEAR = 0.5
"""An explanation of at least this share of the sample is taken at once ..."""
_PARTIAL = 0.05
"""... and the best one, if it explains at least this share: the other ids may be truly unknown."""
_N_AFFIX_SAMPLED = 100
N_SHOWN = 3
"""Pairs of ids that are looked up as they are written, at most."""
_MAX_AFFIX_CHARS = 48
_FEWEST_CUT_CHARS = 4
_COUNTED = r"^[^0-9]*[0-9]{1,9}$"
"""Ids that were counted up: `item_1000` follows `item_999`, and is not an `item_100` that was cut off."""
_MISSING_WORDS = ("nan", "none", "null", "n/a", "na", "nil", "undefined", "<na>", "nat", "-", "?", "unknown")


@dataclass(frozen=True)
class Difference:
    """How ids differ, for a message, with ids of both sides that probably mean the same."""

    cause: str = ""
    examples: tuple[str, ...] = ()
    known_examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rewrite:
    """One thing that ids differ in, and how they are written without it."""

    applies: str
    """Only ids that this regular expression finds are changed."""
    rewritten: Callable[[pl.Expr], pl.Expr]

    def of(self, ids: pl.Series) -> pl.Series:
        """The ids without the difference."""
        if not ids.str.contains(self.applies).any():
            return ids
        return ids.to_frame().select(self.rewritten(pl.first())).to_series()


def _as_number(ids: pl.Expr) -> pl.Expr:
    """`+12`, `1,234` and `1.2e3` as plain whole numbers; all others as they are."""
    is_number = ids.str.contains(r"^[+-]?[0-9][0-9,]*(\.[0-9]+)?([eE][+-]?[0-9]+)?$")
    number = ids.str.replace_all(",", "", literal=True).cast(pl.Float64, strict=False)
    # Beyond 2^53 a float is not the number that was written.
    is_whole = is_number & (number.floor() == number) & (number.abs() < 2.0**53)
    return pl.when(is_whole).then(number.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(ids)


_INVISIBLE = r"[\s\u{200b}-\u{200f}\u{2060}\u{feff}]+"
_QUOTES = r"^b?[\"'`\u{2018}-\u{201f}]+|[\"'`\u{2018}-\u{201f}]+$"
_DECIMAL_ZEROS = r"^([+-]?[0-9]+)\.0+$"
_PUNCTUATION = r"[^\p{L}\p{N}]+"
ZEROS = "leading zeros"
REWRITES = {
    "Unicode normal form or width of characters": Rewrite(r"[^\x00-\x7f]", lambda ids: ids.str.normalize("NFKC")),
    "white space or invisible characters": Rewrite(_INVISIBLE, lambda ids: ids.str.replace_all(_INVISIBLE, "")),
    "quotation marks": Rewrite(_QUOTES, lambda ids: ids.str.replace_all(_QUOTES, "")),
    "upper and lower case": Rewrite(r"\p{Lu}", lambda ids: ids.str.to_lowercase()),
    "a trailing .0": Rewrite(r"\.0+$", lambda ids: ids.str.replace(_DECIMAL_ZEROS, "${1}")),
    ZEROS: Rewrite("^0", lambda ids: ids.str.replace("^0+(.+)$", "${1}")),
    "the way that numbers are written": Rewrite("[,+.eE]", _as_number),
    "dashes, braces or other punctuation": Rewrite(_PUNCTUATION, lambda ids: ids.str.replace_all(_PUNCTUATION, "")),
}
"""What tables differ in, in the order in which all are applied."""
_LAST = "dashes, braces or other punctuation"


def likely_difference(sample: pl.Series, known: pl.Series) -> Difference:
    """How the sampled ids, none of which is known, probably differ from the known ones; an empty one if unclear.

    Both are texts, `sample` is not empty, and each id is there once.
    """
    sample = sample.alias("id")
    known = known.alias("known")
    if sample.str.to_lowercase().str.strip_chars().is_in([*_MISSING_WORDS, ""]).mean() >= _CLEAR:  # type: ignore[operator]
        return Difference("they stand for missing ids", tuple(sample.head(1)))
    plain = _plain(sample, known)
    best = _by_rewrites(plain)
    if best[0] < _CLEAR:
        best = max(best, _by_affixes(sample, known), _by_length(sample, known), key=_share)
    if best[0] < _CLEAR:
        best = max(best, _by_affixes_of_plain(plain), key=_share)
    if best[0] >= _PARTIAL:
        return best[1]
    if sample.str.contains(r"^[+-]?[0-9](\.[0-9]+)?[eE][+-]?[0-9]+$").mean() >= _CLEAR:  # type: ignore[operator]
        return Difference("numbers in scientific notation, whose last digits are lost: spreadsheets write long ids so")
    return Difference()


Found = tuple[float, Difference]
"""The share of the sample that a difference explains, and the difference."""


def _share(found: Found) -> float:
    return found[0]


@dataclass(frozen=True)
class _Plain:
    """The ids with what is left of them after all rewrites: `plain` without the last one, `bare` with it too."""

    sample: pl.DataFrame
    known: pl.DataFrame


def _plain(sample: pl.Series, known: pl.Series) -> _Plain:
    frames = []
    for ids in (sample, known):
        plain = _rewrite(ids, [name for name in REWRITES if name != _LAST])
        frames.append(ids.to_frame().with_columns(plain=plain, bare=REWRITES[_LAST].of(plain)))
    return _Plain(*frames)


def _rewrite(ids: pl.Series, names: Iterable[str]) -> pl.Series:
    for name in names:
        ids = REWRITES[name].of(ids)
    return ids


def _by_rewrites(plain: _Plain) -> Found:
    """The one rewrite that makes the sample match; else several that do so together."""
    sample = plain.sample["id"]
    # What one rewrite brings together, all of them do: the others need not be tried on millions of ids.
    known = plain.known.join(plain.sample.select("bare"), on="bare", how="semi")["known"]
    if not len(known):
        return 0.0, Difference()
    best = max((_rewritten(sample, known, [name]) for name in REWRITES), key=_share)
    if best[0] >= _CLEAR:
        return best
    names = list(REWRITES)
    together = _rewritten(sample, known, names)
    if together[0] <= best[0]:
        return best
    # The least specific is left out first.
    for name in reversed(REWRITES):
        without = _rewritten(sample, known, [other for other in names if other != name])
        if without[0] >= together[0]:
            names.remove(name)
            together = without
    return together


def _rewritten(sample: pl.Series, known: pl.Series, names: list[str]) -> Found:
    left = sample.to_frame().with_columns(key=_rewrite(sample, names)).filter(pl.col("key") != "")
    right = known.to_frame().with_columns(key=_rewrite(known, names))
    return _joined(sample, left, right, " and ".join(names))


def _by_affixes_of_plain(plain: _Plain) -> Found:
    """As `_by_affixes`, of ids that also differ in case, white space or leading zeros."""
    sample = plain.sample["plain"].unique().sort().alias("id")
    known = plain.known["plain"].unique().alias("known")
    share, found = _by_affixes(sample, known, drop_zeros=True)
    originals = [
        _first_of(frame, texts)
        for frame, texts in ((plain.sample, found.examples), (plain.known, found.known_examples))
    ]
    return share, Difference(found.cause, *originals)


def _first_of(frame: pl.DataFrame, plain: tuple[str, ...]) -> tuple[str, ...]:
    """The ids, as they are written, of some plain ones."""
    wanted = pl.DataFrame({"plain": plain[:N_SHOWN]}, schema={"plain": pl.String})
    found = wanted.join(frame.unique("plain"), on="plain", how="left", maintain_order="left")
    return tuple(found[frame.columns[0]])


def _joined(sample: pl.Series, left: pl.DataFrame, right: pl.DataFrame, cause: str) -> Found:
    """How much of the sample meets known ids by the column `key`, with the pairs as examples."""
    keys = left.select("key").unique()
    pairs = left.join(right.join(keys, on="key", how="semi").unique("key"), on="key")
    if pairs.is_empty():
        return 0.0, Difference()
    pairs = pairs.unique("id").sort(pl.col("id").str.len_chars(), "id")
    share = pairs.height / len(sample)
    part = "" if share == 1 else f", for {share:.0%} of the unmatched ids"
    return share, Difference(f"{cause}{part}", tuple(pairs["id"]), tuple(pairs["known"]))


def _by_affixes(sample: pl.Series, known: pl.Series, *, drop_zeros: bool = False) -> Found:
    """One prefix common to all sampled ids in place of one common to all known ids; or suffixes."""
    few = sample.gather_every(max(len(sample) // _N_AFFIX_SAMPLED, 1))
    prefixes = _by_prefixes(few, known, "prefix", drop_zeros=drop_zeros)
    if prefixes[0] >= _CLEAR:
        return prefixes
    return max(prefixes, _by_prefixes(few, known, "suffix"), key=_share)


def _by_prefixes(sample: pl.Series, known: pl.Series, kind: str, *, drop_zeros: bool = False) -> Found:
    """Tries every cut of the two common prefixes that falls between a word and a number, or at punctuation."""

    def turned(ids: pl.Series) -> pl.Series:
        return ids.str.reverse() if kind == "suffix" else ids

    # Of one id, everything that it begins with is "shared".
    are_several = min(len(sample), len(known)) > 1
    heads = _cuts(turned(sample))
    known_heads = _cuts(turned(known))
    candidates = [
        pl.DataFrame({"id": sample, "rest": turned(sample).str.strip_prefix(head)}).with_columns(
            head=pl.lit(head), known_head=pl.lit(known_head)
        )
        for head in heads
        for known_head in known_heads
        if head != known_head and (are_several or not (head and known_head))
    ]
    if not candidates:
        return 0.0, Difference()
    tried = pl.concat(candidates).filter(pl.col("rest") != "")
    if drop_zeros:
        tried = tried.with_columns(rest=REWRITES[ZEROS].of(tried["rest"]))
    tried = tried.with_columns(key=pl.col("known_head") + pl.col("rest"))
    right = pl.DataFrame({"known": known, "key": turned(known)})
    pairs = tried.join(right.join(tried.select("key"), on="key", how="semi"), on="key")
    if pairs.is_empty():
        return 0.0, Difference()
    # Of cuts that explain as much, the one that takes least away.
    length = pl.col("head").str.len_chars() + pl.col("known_head").str.len_chars()
    by_cut = pairs.group_by("head", "known_head").agg(pl.len()).sort(-pl.col("len").cast(pl.Int64), length)
    head, known_head, n_pairs = by_cut.row(0)
    share = n_pairs / len(sample)
    if share < _CLEAR:
        return 0.0, Difference()
    chosen = pairs.filter(head=head, known_head=known_head).sort(pl.col("id").str.len_chars(), "id")
    affix, known_affix = turned(pl.Series([head, known_head])).to_list()
    if not affix:
        cause = f"the {kind} {known_affix!r}, which the unmatched ids lack"
    else:
        cause = f"the {kind} {affix!r}" + (f" where the known ids have {known_affix!r}" if known_affix else "")
    return share, Difference(cause, tuple(chosen["id"]), tuple(chosen["known"]))


def _cuts(ids: pl.Series) -> list[str]:
    """The beginnings that all ids share and that end where a word ends, and the empty one.

    A cut within a number would explain anything: 30 to 39 are no 0 to 9 with a prefix.
    """
    first = str(ids.min())
    last = str(ids.max())
    pairs = zip(first, last, strict=False)
    shared = "".join(letter for letter, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))[:_MAX_AFFIX_CHARS]
    ends = [end for end in range(1, len(shared) + 1) if end < len(first) and _kind(first[end - 1]) != _kind(first[end])]
    after_shared = [shared] if len(shared) < len(first) and not shared[-1:].isdigit() else []
    return list(dict.fromkeys(["", *(shared[:end] for end in ends), *after_shared]))


def _kind(character: str) -> str:
    if character.isdigit():
        return "digit"
    return "letter" if character.isalpha() else character


def _by_length(sample: pl.Series, known: pl.Series) -> Found:
    """Ids that one of the two tables has cut off."""
    longest = int(sample.str.len_chars().max() or 0)  # type: ignore[arg-type]
    known_longest = int(known.str.len_chars().max() or 0)  # type: ignore[arg-type]
    if longest == known_longest or min(longest, known_longest) < _FEWEST_CUT_CHARS:
        return 0.0, Difference()
    limit = min(longest, known_longest)
    side = "the unmatched ids" if longest < known_longest else "the known ids"
    left = sample.to_frame().with_columns(key=pl.col("id").str.head(limit))
    right = known.to_frame().with_columns(key=pl.col("known").str.head(limit))
    if limit < known_longest:
        # Only what stands for one known id; a short text begins many.
        right = right.filter(pl.col("key").is_unique())
    longer = left if limit < longest else right
    if longer[longer.columns[0]].str.contains(_COUNTED).mean() >= _CLEAR:  # type: ignore[operator]
        return 0.0, Difference()
    whole = left.filter(pl.col("key").str.len_chars() == limit)
    found = _joined(sample, whole, right, f"{side} are cut off after {limit} characters")
    return found if found[0] >= _CLEAR else (0.0, Difference())
