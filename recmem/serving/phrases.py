"""The words of reasons in the languages of end users: one table for each, chosen by the setting `language`.

What an operator reads (reports, messages, labels of parts in the JSON of reasons) is English in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "de", "zh", "ja"]


@dataclass(frozen=True)
class Phrases:
    """Sentences with places for titles, reasons and numbers, as `str.format` fills them."""

    quoted: str
    """`{title}`: a title within a sentence."""
    both: str
    """`{first}` and `{second}`."""
    builds_on: str
    """`{titles}`: the memories that add most; `{scale}`: "" or the phrase of that name."""
    fits_interests: str
    """The declared interests are the only reason; `{similarity}`: "" or the phrase of that name."""
    and_fits_interests: str
    """They are a reason beside `{reason}`."""
    shares_fact: str
    """A shared `{fact}` is the only reason; `{items}`: the item that has it too, or `own_items`."""
    and_shares_fact: str
    """It is a reason beside `{reason}`."""
    own_items: str
    """`{n}` items of the user."""
    scale: str
    """What the numbers behind titles are."""
    similarity: str
    """`{value}`: a cosine."""
    empty_memory: str
    no_memory_raises: str
    reads_no_texts: str
    """`{titles}` and `{scale}`: what the text matches, though the ranker does not read it."""
    seen: str
    """`{title}` of an item that the user has already interacted with."""
    sentence: str
    """`{title}` and its `{reason}`."""
    interest: str
    """A declared interest, as the user's `{words}`."""
    not_clicked: str
    """An item that was shown and not clicked: its quoted `{title}`."""
    earlier_event: str
    """A single one that is not among the newest: on `{day}`, with the item `{titles}`."""
    earlier_events: str
    """`{n}` events in `{span}`, and the `{titles}` of some of their items."""
    fact: str
    """`{relation}` and `{thing}` of a fact, both as the data has them."""
    day: str
    """A span of time: all on `{day}`."""
    days: str
    """A span of time: from `{first}` to `{last}`."""


PHRASES: dict[Language, Phrases] = {
    "en": Phrases(
        quoted="{title}",
        both="{first} and {second}",
        builds_on="because it builds on {titles}{scale}",
        fits_interests="because it fits the declared interests{similarity}",
        and_fits_interests="{reason}, and fits the declared interests{similarity}",
        shares_fact="because it shares {fact} with {items}",
        and_shares_fact="{reason}, and shares {fact} with {items}",
        own_items="{n} of the user's items",
        scale=" in the raw match score",
        similarity=" (similarity {value:.2f})",
        empty_memory="no reason from memory: the user's memory is empty",
        no_memory_raises="no reason from memory: no memory slot raises its match score",
        reads_no_texts="no reason from memory: its text matches {titles}{scale}, but the ranker reads no texts",
        seen="{title} (the user has already interacted with it)",
        sentence="{title}: {reason}",
        interest='the declared interest "{words}"',
        not_clicked="{title} (shown, not clicked)",
        earlier_event="an earlier event on {day}: {titles}",
        earlier_events="{n} earlier events {span} like {titles}",
        fact="{relation}: {thing}",
        day="on {day}",
        days="from {first} to {last}",
    ),
    "de": Phrases(
        quoted="„{title}“",
        both="{first} und {second}",
        builds_on="weil es zu {titles} passt{scale}",
        fits_interests="weil es zu den angegebenen Interessen passt{similarity}",
        and_fits_interests="{reason} und zu den angegebenen Interessen{similarity}",
        shares_fact="weil „{fact}“ auch für {items} gilt",
        and_shares_fact="{reason}, und „{fact}“ gilt auch für {items}",
        own_items="{n} Einträge im Verlauf",
        scale=" (Beiträge zum rohen Match-Score)",
        similarity=" (Ähnlichkeit {value:.2f})",
        empty_memory="kein Grund aus dem Verlauf: der Verlauf ist leer",
        no_memory_raises="kein Grund aus dem Verlauf: nichts darin erhöht den Match-Score",
        reads_no_texts="kein Grund aus dem Verlauf: der Text passt zu {titles}{scale}, aber der Ranker liest keine",
        seen="{title} (schon im Verlauf)",
        sentence="{title}: {reason}",
        # Without articles, so that the words are the same in every case.
        interest="Interesse „{words}“",
        not_clicked="{title} (gezeigt, nicht angeklickt)",
        earlier_event="{titles} (ein früheres Ereignis am {day})",
        earlier_events="{titles} u. a. ({n} frühere Ereignisse {span})",
        fact="{relation}: {thing}",
        day="am {day}",
        days="vom {first} bis {last}",
    ),
    "zh": Phrases(
        quoted="「{title}」",
        both="{first}和{second}",
        builds_on="因为它与{titles}相关{scale}",
        fits_interests="因为它符合所填写的兴趣{similarity}",
        and_fits_interests="{reason}，并且符合所填写的兴趣{similarity}",
        shares_fact="因为它与{items}同有「{fact}」",
        and_shares_fact="{reason}，并且与{items}同有「{fact}」",
        own_items="历史记录中的{n}项",
        scale="（数字为对原始匹配分的贡献）",
        similarity="（相似度 {value:.2f}）",
        empty_memory="没有来自历史记录的理由：历史记录为空",
        no_memory_raises="没有来自历史记录的理由：没有任何一条提高匹配分",
        reads_no_texts="没有来自历史记录的理由：其文本与{titles}相关{scale}，但排序不读取文本",
        seen="{title}（历史记录中已有）",
        sentence="{title}：{reason}",
        interest="所填写的兴趣「{words}」",
        not_clicked="{title}（展示过但未点击）",
        earlier_event="{day}的较早记录{titles}",
        earlier_events="{span}的{n}条较早记录（如{titles}）",
        fact="{relation}：{thing}",
        day="{day}",
        days="{first}至{last}",
    ),
    "ja": Phrases(
        quoted="「{title}」",
        both="{first}と{second}",
        builds_on="{titles}に関連するため{scale}",
        fits_interests="登録された興味に合うため{similarity}",
        and_fits_interests="{reason}、また登録された興味に合うため{similarity}",
        shares_fact="{items}と「{fact}」が共通するため",
        and_shares_fact="{reason}、また{items}と「{fact}」が共通するため",
        own_items="履歴の{n}件",
        scale="（数字は補正前のマッチスコアへの寄与）",
        similarity="（類似度 {value:.2f}）",
        empty_memory="履歴からの理由なし：履歴が空です",
        no_memory_raises="履歴からの理由なし：マッチスコアを上げる履歴がありません",
        reads_no_texts="履歴からの理由なし：テキストは{titles}に関連しますが{scale}、順位付けはテキストを読みません",
        seen="{title}（すでに履歴にあります）",
        sentence="{title}：{reason}",
        interest="登録された興味「{words}」",
        not_clicked="{title}（表示されたがクリックなし）",
        earlier_event="{day}の以前の履歴{titles}",
        earlier_events="{span}の以前の履歴{n}件（{titles}など）",
        fact="{relation}：{thing}",
        day="{day}",
        days="{first}から{last}まで",
    ),
}
