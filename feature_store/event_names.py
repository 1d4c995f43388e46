"""Names of events that every recommender knows, and what they say about the user's taste in an item."""

from __future__ import annotations

import re
from typing import Final

from feature_store.later_event_names import in_words, later_sign, without_object

# A model judges later events by these names too. So these three stay as they are: names that are added go into
# `feature_store.later_event_names`, which models of before do not read.
_POSITIVE = re.compile(
    r"((page|item|product|detail|content|screen|article|video)_?)?view(s|ed|_item)?|detail|visit(s|ed)?|open(s|ed)?"
    r"|impression_?clicks?|((item|product|result|search)_?)?click(s|ed)?|tap(s|ped)?|select(s|ed)?"
    r"|add(s|ed)?(_?to)?_?(cart|basket|bag|wish_?list|favou?rites?|list|library|playlist|collection)"
    r"|((add|into|to)_?)?(cart|basket)|checkouts?|wish_?list(s|ed)?"
    r"|purchase[sd]?|buys?|bought|orders?|ordered|transactions?|sales?|sold|payments?|paid|conver(t|ts|ted|sions?)"
    r"|subscri(be|bes|bed|ptions?)|sign_?ups?|enrol(l|ls|led|lments?)?|appl(y|ies|ied|ications?)"
    r"|rent(s|ed|als?)?|borrow(s|ed)?|loans?|book(s|ed|ings?)|reserv(e|es|ed|ations?)|donat(e|es|ed|ions?)"
    r"|play(s|ed|back)?|stream(s|ed)?|watch(es|ed)?|listen(s|ed)?|reads?|stud(y|ies|ied)|finish(es|ed)?"
    r"|complet(e|es|ed|ions?)|download(s|ed)?|install(s|ed|ations?)?|launch(es|ed)?|us(e|es|ed|age)|consume[sd]?"
    r"|lik(e|es|ed)|lov(e|es|ed)|heart(s|ed)?|favou?rit(e|es|ed)|star(s|red)|bookmark(s|ed)?|sav(e|es|ed)|pin(s|ned)?"
    r"|up_?vote[sd]?|thumbs?_?up|recommend(s|ed)?|endors(e|es|ed)|clap(s|ped)?|interested|positive"
    r"|shar(e|es|ed)|repl(y|ies|ied)|comment(s|ed)?|(re)?tweet(s|ed)?|repost(s|ed)?|follow(s|ed)?|join(s|ed)?"
    r"|attend(s|ed)?|rsvp|contact(s|ed)?|messag(e|es|ed)|match(es|ed)?|events?|interact(s|ed|ions?)?|implicit"
)
_NEGATIVE = re.compile(
    r"skip(s|ped)?|returns?|returned|refund(s|ed)?|complain(s|ts?|ed)?|dislike[sd]?|hides?|hidden|down_?vote[sd]?"
    r"|thumbs?_?down|unlik(e|es|ed)|bounce[sd]?|not_?(interested|liked)|block(s|ed)?|report(s|ed)?|spam"
    r"|remov(e|es|ed|als?)(_?from)?_?(cart|basket|bag|wish_?list|favou?rites?|list|library|playlist|collection)"
    r"|uninstall(s|ed)?|unsubscri(be|bes|bed)|unfollow(s|ed)?|unsav(e|es|ed)|unstar(s|red)?|negative|bad|hate[sd]?"
    r"|reject(s|ed)?|dismiss(es|ed)?|mut(e|es|ed)|abandon(s|ed)?"
)
_NEUTRAL = re.compile(r"(item_?|product_?)?impress(ion)?s?|impressed|exposures?|exposed|neutral")


NEWEST_LIST: Final = 2
"""The list that trainings use; models of before were trained with the first."""


def spelling(name: str) -> str:
    """The name in the form in which names are compared: `Add to cart`, `add-to-cart` and `ADD_TO_CART` are one."""
    return re.sub(r"[\s-]+", "_", name.strip().casefold())


def common_sign(name: str, known: int = NEWEST_LIST) -> int | None:
    """+1, 0 or -1 for a name that is common in the field, in any spelling; None for others.

    `known`: the list of names. The second adds those of `feature_store.later_event_names`.
    """
    sign = _first_sign(spelling(name))
    if sign is not None or known == 1:
        return sign
    spelt = in_words(name)
    for form in (spelt, without_object(spelt)):
        for judge in (later_sign, _first_sign):
            sign = judge(form)
            if sign is not None:
                return sign
    return None


def _first_sign(spelt: str) -> int | None:
    """What the first list says."""
    for pattern, sign in ((_POSITIVE, 1), (_NEGATIVE, -1), (_NEUTRAL, 0)):
        if pattern.fullmatch(spelt):
            return sign
    return None
