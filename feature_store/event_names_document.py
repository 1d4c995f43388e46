"""The common names of events, for docs/your_data.md: `python -m feature_store.event_names_document` prints the list."""

from __future__ import annotations

KNOWN_NAMES: dict[str, tuple[str, ...]] = {
    "positive": (
        *("view", "detail", "visit", "open", "impression_click", "click", "tap", "select", "preview", "quick_view"),
        *("read_more", "more_info", "expand", "zoom", "print", "link_click", "clickout"),
        *("add_to_cart", "cart", "cart_add", "checkout", "begin_checkout", "checkout_started", "checkout_step_viewed"),
        *("add_payment_info", "payment_info_entered", "wishlist", "add", "add_to_watchlist", "compare", "queue"),
        *("purchase", "buy", "bought", "order", "ordered", "placed", "transaction", "sale", "sold", "payment", "paid"),
        *("conversion", "reorder", "repurchase", "renew", "redeem", "bid", "customize"),
        *("subscribe", "sign_up", "register", "enroll", "start", "rent", "borrow", "loan", "booked", "reserve", "donate"),
        *("apply", "apply_click", "start_application", "submit", "accept", "shortlist", "hired", "interview"),
        *("lead", "generate_lead", "inquiry", "contact", "message", "message_sent", "match", "swipe_right"),
        *("play", "stream", "watch", "listen", "read", "study", "progress", "finish", "complete", "replay", "rewatch"),
        *("download", "install", "launch", "use", "consume"),
        *("like", "love", "heart", "favorite", "starred", "bookmark", "save", "pin", "upvote", "thumbs_up", "thumb_up"),
        *("recommend", "endorse", "clap", "interested", "positive"),
        *("share", "reply", "comment", "retweet", "repost", "follow", "join", "attend", "rsvp"),
        *("event", "interaction", "implicit"),
    ),
    "negative": (
        *("skip", "return", "returned", "refund", "chargeback", "complaint", "cancel", "cancellation", "withdraw"),
        *("remove", "remove_from_cart", "removed_from_watchlist", "cart_remove", "delete", "uninstall"),
        *("unsubscribe", "unfollow", "unsave", "unstar", "unfavorite", "unbookmark", "unpin", "unlike"),
        *("dislike", "hide", "hidden", "downvote", "thumbs_down", "thumb_down", "swipe_left", "not_interested"),
        *("no_interest", "not_relevant", "not_for_me", "see_less", "hate", "bad", "negative"),
        *("block", "report", "flag", "spam", "mute", "reject", "decline", "dismiss", "bounce", "churn"),
        *("abandon", "cart_abandoned", "abandoned_cart", "checkout_abandoned"),
    ),
    "neutral": (
        *("impression", "impressed", "exposure", "exposed", "shown", "display", "render", "served", "sent", "delivered"),
        *("list_view", "view_item_list", "view_promotion", "promotion_viewed", "neutral"),
        *("search", "search_results", "products_searched", "view_cart", "cart_viewed", "update_cart", "scroll", "hover"),
        *("pause", "resume", "stop", "seek", "ping", "page_ping", "heartbeat", "user_engagement"),
        *("session_start", "first_visit", "login", "app_open", "page_hide"),
    ),
}
"""By how they are taken. Of several forms (view, views, viewed) one stands for all; tests hold that none is missing."""
BEGIN = "<!-- Common names: the output of `python -m feature_store.event_names_document` -->"
END = "<!-- End of the common names -->"


def names_markdown() -> str:
    """The list as Markdown, between two comments."""
    lines = [f"- **{sign}**: {', '.join(names)}" for sign, names in KNOWN_NAMES.items()]
    return "\n".join([BEGIN, "", *lines, "", END]) + "\n"


if __name__ == "__main__":
    print(names_markdown(), end="")
