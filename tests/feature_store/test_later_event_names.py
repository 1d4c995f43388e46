"""Names of GA4, Segment, Snowplow, Meta, media and job sites, and the signs that they have."""

from __future__ import annotations

import pytest

from feature_store.event_names import common_sign
from feature_store.later_event_names import in_words, without_object

GA4 = {
    1: "view_item select_item add_to_cart add_to_wishlist begin_checkout add_shipping_info add_payment_info purchase "
    "share sign_up generate_lead page_view file_download video_start video_progress video_complete select_promotion",
    -1: "remove_from_cart refund app_remove",
    0: "view_item_list view_promotion view_cart search view_search_results session_start first_visit user_engagement "
    "scroll login",
}
SEGMENT = {
    1: "Product Viewed,Product Clicked,Product Added,Product Added to Wishlist,Wishlist Product Added to Cart,"
    "Checkout Started,Payment Info Entered,Order Completed,Product Shared,Promotion Clicked,Video Playback Started",
    -1: "Product Removed,Product Removed from Wishlist,Order Cancelled,Order Refunded",
    0: "Product List Viewed,Products Searched,Cart Viewed,Promotion Viewed",
}
OTHERS = {
    1: "viewItem AddToCart ViewContent InitiateCheckout link_click clickout job_view viewJob applyJob job_applied "
    "application_submitted jobSaved song_played episode_completed item.viewed item:click thumbUp "
    "add_item_to_cart user_signed_up click_through",
    -1: "remove removed cancelled canceled cancellation job_hidden dismiss_job application_withdrawn trackSkipped "
    "cart_abandoned wishlist_remove SwipeLeft un_star",
    0: "shown item_shown displayed page_ping pause email_sent heartbeat page_hidden",
}


@pytest.mark.parametrize("sign", [1, -1, 0])
def test_names_of_trackers_have_the_sign_of_what_the_user_did(sign: int) -> None:
    names = [*GA4[sign].split(), *SEGMENT[sign].split(","), *OTHERS[sign].split()]
    assert {name: common_sign(name) for name in names} == dict.fromkeys(names, sign)


@pytest.mark.parametrize("name", ["rate", "Product Reviewed", "review", "returning_user", "ignored", "seen", "item"])
def test_names_that_may_mean_either_are_left_to_the_user(name: str) -> None:
    assert common_sign(name) is None


@pytest.mark.parametrize("name", ["remove", "viewItem", "Order Completed", "shown", "cancelled"])
def test_the_first_list_has_none_of_them(name: str) -> None:
    assert common_sign(name, 1) is None


def test_a_name_of_both_lists_keeps_the_sign_of_the_first() -> None:
    for name in ("view", "click", "skip", "impression", "checkout"):
        assert common_sign(name, 2) == common_sign(name, 1) is not None


def test_words_are_split_at_capitals_dots_and_colons() -> None:
    assert {in_words(name) for name in ("viewItem", "View Item", "VIEW-ITEM", "view.item", "view:item")} == {
        "view_item"
    }


def test_objects_are_taken_off_both_ends_and_a_lone_one_stays() -> None:
    assert without_object("product_viewed") == "viewed"
    assert without_object("view_job") == "view"
    assert without_object("video_playback_started") == "started"
    assert without_object("item") == "item"
