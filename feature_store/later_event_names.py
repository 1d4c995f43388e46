"""The second list of common names of events: what GA4, Segment, Snowplow, media and job sites call theirs.

A name of theirs is a verb with an object, in either order: `Product Viewed`, `view_item`, `jobSaved`. The object is
taken off where the whole name is not known, and the verb decides.
"""

from __future__ import annotations

import re

_PLACES = r"(cart|basket|bag|wish_?list|watch_?list|favou?rites?|queue|compar(e|ison))"
_OBJECTS = (
    r"(wish_?list_product|item|product|sku|page|screen|article|post|story|content|detail|video|movie|film|episode|series"
    r"|song|track|album|podcast|playback|media|game|app|course|lesson|recipe|job|vacancy|application|listing|property"
    r"|hotel|place|event|ad|offer|deal|promotion|coupon|order|booking|reservation|subscription|trial|profile|document"
    r"|file|photo|image|link|list|form|registration|email|push|notification|book|news|user)"
)
# The neutral ones are asked first: a list that was viewed is an impression of each of its items, and no view.
_NEUTRAL = re.compile(
    r"show(s|n|ed)?|display(s|ed)?|render(s|ed)?|serve[sd]?|sent|deliver(s|ed)?|hover(s|ed)?|scroll(s|ed)?"
    rf"|({_OBJECTS}_)?list_?view(s|ed)?|view_({_OBJECTS}_)?list|view_promotion|promotion_view(s|ed)?"
    r"|search(es|ed)?|(view_)?search_results?|(products?|items?)_?search(es|ed)?"
    rf"|view_{_PLACES}|{_PLACES}_?(view(s|ed)?|update[sd]?)|update_{_PLACES}"
    r"|paus(e|es|ed)|resum(e|es|ed)|stop(s|ped)?|seek(s|ed)?|ping|page_ping|heart_?beat|user_engagement"
    r"|session_?(start|end)(s|ed)?|first_visit|log_?(in|out)|app_open(s|ed)?|page_(hide|hidden|leave|exit|unload)"
)
_POSITIVE = re.compile(
    rf"add(s|ed)?|add(s|ed)?(_{_OBJECTS})?(_?to)?_?{_PLACES}|{_PLACES}_?add(s|ed)?|queued?|compare[sd]?"
    r"|(begin|start|initiate)(s|ed)?_?checkout|checkout_?(begin|start|step|progress)(s|ed)?|checkout_step_(viewed|completed)"
    r"|add_(payment|shipping)_info|(payment|shipping)_info_(entered|added)|place[sd]?|re_?order(s|ed)?|repurchase[sd]?"
    r"|renew(s|ed|als?)?|redeem(s|ed)?|bids?|accept(s|ed)?|submit(s|ted)?|leads?|generate_lead|(in|en)quir(y|ies|e|ed)"
    r"|apply_(click|start)(s|ed)?|start_application|shortlist(s|ed)?|hired?|interview(s|ed)?"
    r"|message_sent|customi[sz]e[sd]?|regist(er|ers|ered|rations?)|signed_up|start(s|ed)?|progress|re_?play(s|ed)?|re_?watch(es|ed)?|thumb_?up|swipe_?right"
    r"|(outbound|link|cta)_click(s|ed)?|click_?(out|through)s?|quick_?view(s|ed)?|preview(s|ed)?|expand(s|ed)?|zoom(s|ed)?"
    r"|(read|learn)_more|more_info|print(s|ed)?"
)
_NEGATIVE = re.compile(
    rf"remov(e|es|ed|als?)|remov(e|es|ed)(_?from)?_?{_PLACES}|{_PLACES}_?remov(e|es|ed)|delet(e|es|ed|ions?)"
    r"|cancel(s|ed|led)?|cancell?ations?|charge_?backs?|withdr(aw|aws|awn|ew)|declin(e|es|ed)|flag(s|ged)?"
    rf"|{_PLACES}_?abandon(s|ed)?|abandon(s|ed)?_?{_PLACES}|checkout_?abandon(s|ed)?|churn(s|ed)?"
    r"|un_?favou?rit(e|es|ed)|un_?bookmark(s|ed)?|un_?pin(s|ned)?|un_?star(s|red)?|swipe_?left|(see|show)_?less|not_for_me"
    r"|(not_|ir)relevant|no_interest|thumb_?down"
)
_FIRST_OBJECT = re.compile(rf"^{_OBJECTS}_(?=.)")
_LAST_OBJECT = re.compile(rf"(?<=.)_{_OBJECTS}s?$")


def in_words(name: str) -> str:
    """The name as words with `_` between them, in lower case: `viewItem`, `Item.View` and `VIEW ITEM` are split too."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s_.:/-]+", "_", split).casefold()


def without_object(spelt: str) -> str:
    """The name without the object that it begins or ends with: `viewed` of `product_viewed`, `view` of `view_job`."""
    while (shorter := _LAST_OBJECT.sub("", _FIRST_OBJECT.sub("", spelt))) != spelt:
        spelt = shorter
    return spelt


def later_sign(spelt: str) -> int | None:
    """+1, 0 or -1 for a name of this list, in words; None for others."""
    for pattern, sign in ((_NEUTRAL, 0), (_POSITIVE, 1), (_NEGATIVE, -1)):
        if pattern.fullmatch(spelt):
            return sign
    return None
