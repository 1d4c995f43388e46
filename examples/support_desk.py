"""A support desk picks the best prepared answer for a customer, from the question and from the customer's past tickets.

"It prints stripes", writes a customer, and not on which printer. The desk has an answer prepared for each product; past
tickets tell which one the customer has. The script

1. makes up a desk: products, customers, tickets over two years, and the prepared answer that solved each of them;
2. trains recmem on the tickets of the first period: which ticket does a customer send next, given the earlier ones?
3. scores the prepared answers for later tickets with `match_texts`. They are no items of the store, only texts;
4. measures how often the best answer comes first: by the question alone, by the memory alone, by both, and by the
   question and the untrained similarity to past tickets.

All of it is made up, and made so that the memory matters: the figures show that the parts work together, and not what
they would be on your desk.

    python examples/support_desk.py            # 100 customers, some minutes
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

import recmem
from feature_store import Store
from recmem.text.encoder import TextEncoder

OUT = Path("runs/support_desk")
START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 730
LEARNED_DAYS = 510
"""Tickets of the first days are learned from; on the first third of the later ones the memory's weight is chosen."""
CHOSEN_DAYS = 580
WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Of the memory beside the question, as standard deviations among the answers."""
SHARE_NAMED = 0.25
"""Of the tickets in which the customer names the product."""
SHARE_REPLACED = 0.15
"""Of a customer's products that another one of the same kind replaces after a year or so."""

PRODUCTS = {
    "printer": {
        "Inkform 200": "the touch panel",
        "Laserline 310": "the button on the front",
        "Photobox 5": "the phone app",
    },
    "router": {
        "Meshnet 3": "the web page meshnet.local",
        "Giganode X1": "the phone app",
        "Travelink Mini": "the pin hole at the back",
    },
    "camera": {
        "Doorwatch 2": "the chime's menu",
        "Gardencam Pro": "the web console",
        "Nestview": "the phone app",
    },
    "speaker": {
        "Soundbar 50": "the remote control",
        "Roomtone One": "the ring on the top",
        "Cubeplay": "the phone app",
    },
}
"""Of each kind, the products with what they are operated by."""
PROBLEMS = """
printer, paper jams
  open the rear cover, take the sheet out along its way and choose Clean rollers on {control}.
  The paper gets stuck every few pages / Paper jam again, third time this week / Sheets come out crumpled
printer, striped or faint pages
  start the cleaning cycle with {control} and print a test page, twice if needed.
  It prints stripes / The pages are faint and have white lines / Half of the letters are missing in print
printer, not found in the network
  reset its network settings with {control} and add it again on the computer.
  My computer says that the printer is offline / I cannot print over Wi-Fi any more / Printing hangs forever
printer, new cartridge not accepted
  take the cartridge out, wipe its contacts and confirm the new one on {control}.
  I put in a new cartridge and it still says empty / It refuses the cartridge I bought / Ink error after refill
router, slow internet
  choose another channel on {control} and switch off the energy saving mode.
  The internet is slow in the evening / Downloads take ages since last week / Films keep buffering
router, Wi-Fi drops out
  update the firmware with {control} and keep the two bands apart.
  The Wi-Fi drops out every hour / I lose the connection in video calls / All phones get thrown off the Wi-Fi
router, password forgotten
  restore the settings with {control}; the first password is on the label.
  I forgot the password of the settings / I cannot log in to change the Wi-Fi name / Locked out of the router
router, network for guests
  switch the guest network on with {control} and give it a password of its own.
  How do I set up Wi-Fi for visitors? / Guests should not see my computers / I need a second network name
camera, shown as offline
  hold its button for ten seconds and pair it again with {control}.
  I get no live picture / It has been offline since yesterday / The video does not load on my phone
camera, no alerts for movement
  draw the zone again and raise the sensitivity with {control}.
  I get no alerts when somebody comes / It did not notice the postman / Motion notifications have stopped
camera, dark or blurred at night
  clean the cover and set the infrared light to automatic with {control}.
  At night the picture is blurred / I see nothing but grey after sunset / Night recordings are far too dark
camera, battery empties quickly
  lower the length of recordings with {control} and charge it with the original cable.
  The battery is empty after two days / I have to charge it all the time / It dies every night
speaker, does not pair by Bluetooth
  delete the pairing on the phone and start a new one with {control}.
  My phone does not find it / Bluetooth pairing fails / It no longer connects to my tablet
speaker, crackling sound
  switch off the loudness effect with {control} and install the update.
  It crackles when I turn it up / The music sounds distorted / There is a noise in the left channel
speaker, out of step with other rooms
  put all of them into one group again with {control} and set the delay to automatic.
  The rooms play with an echo / Music in the kitchen lags behind / Two of them are not in sync
speaker, no sound from the television
  choose the input ARC with {control} and switch off the television's own sound.
  There is no sound from the TV / Films are silent since I changed the cable / The TV picture comes without sound
"""
"""Of each kind of product, the problems; the steps that solve each, and how customers write about it."""
OPENERS = ("Hello,", "Hi there,", "Good morning,", "Please help:", "", "", "Sorry to bother you again,")
CLOSERS = ("Thanks!", "Can you help?", "It worked before the update.", "", "", "I have tried to restart it.")


@dataclass(frozen=True)
class Desk:
    """The prepared answers (answer_id, text), and the tickets: one a row, with the answer that solved it."""

    answers: pl.DataFrame
    tickets: pl.DataFrame


# %% The desk


def problems_of_kinds() -> dict[str, dict[str, tuple[str, list[str]]]]:
    """Of each kind of product the problems, each with its steps and its phrases."""
    lines = PROBLEMS.strip().splitlines()
    found: dict[str, dict[str, tuple[str, list[str]]]] = {}
    for name, steps, phrases in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        kind, problem = name.split(", ")
        found.setdefault(kind, {})[problem] = (steps.strip(), phrases.strip().split(" / "))
    return found


def prepared_answers() -> pl.DataFrame:
    """A text for each problem with each product."""
    rows = [
        (f"{product}: {problem}", f"{product}, {problem}: {steps.format(control=control)}")
        for kind, problems in problems_of_kinds().items()
        for problem, (steps, _) in problems.items()
        for product, control in PRODUCTS[kind].items()
    ]
    return pl.DataFrame(rows, schema=["answer_id", "text"], orient="row")


def make_desk(n_customers: int, seed: int = 0) -> Desk:
    """Customers who own two or three kinds of products, and write five to twelve tickets about them."""
    random = np.random.default_rng(seed)
    problems = problems_of_kinds()
    rows = []
    for customer in range(n_customers):
        kinds = random.choice(list(PRODUCTS), size=random.integers(2, 4), replace=False)
        owned = {str(kind): _products_over_time(random, str(kind)) for kind in kinds}
        days = np.sort(random.uniform(0, DAYS, random.integers(5, 13)))
        for day in days:
            kind = str(random.choice(kinds))
            product = next(name for name, until in owned[kind] if day < until)
            problem = str(random.choice(list(problems[kind])))
            question = _question(random, problems[kind][problem][1], product)
            time = START + timedelta(days=float(day))
            rows.append((f"customer-{customer:03d}", time, question, f"{product}: {problem}", product in question))
    schema = ["user_id", "timestamp", "question", "answer_id", "names_product"]
    tickets = pl.DataFrame(rows, schema=schema, orient="row").sort("timestamp")
    tickets = tickets.with_columns(item_id=pl.format("ticket-{}", pl.int_range(pl.len())))
    return Desk(prepared_answers(), tickets)


def _products_over_time(random: np.random.Generator, kind: str) -> list[tuple[str, float]]:
    """What a customer owns of a kind, each with the day until which."""
    first, second = random.choice(list(PRODUCTS[kind]), size=2, replace=False)
    if random.random() >= SHARE_REPLACED:
        return [(str(first), np.inf)]
    return [(str(first), float(random.uniform(0.3, 0.7) * DAYS)), (str(second), np.inf)]


def _question(random: np.random.Generator, phrases: list[str], product: str) -> str:
    text = str(random.choice(phrases))
    if random.random() < SHARE_NAMED:
        text += f" ({product})"
    return " ".join(part for part in (random.choice(OPENERS), f"{text}.", random.choice(CLOSERS)) if part)


def tables(desk: Desk) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Items and events: a ticket is an item, its text the question and the answer that solved it."""
    solved = desk.tickets.join(desk.answers.rename({"text": "answer"}), on="answer_id", maintain_order="left")
    items = solved.select("item_id", "answer", title="question")
    return items, solved.select("user_id", "item_id", "timestamp")


# %% The best answer


def learned(desk: Desk, out: Path, config: Mapping[str, object] | None = None) -> recmem.Model:
    """A model that has learned from the first period, over a store that has all tickets, known from their times on."""
    items, events = tables(desk)
    is_learned = events["timestamp"] < START + timedelta(days=LEARNED_DAYS)
    result = recmem.train(items.filter(is_learned), events.filter(is_learned), out=out, config=config, promote="never")
    # A store of its own, or another run would learn from the later tickets.
    store = Store.open_or_create(out / "all_tickets")
    store.append_items(items)
    store.append_events(events)
    return recmem.load(result.bundle, store=store)


def scored_answers(desk: Desk, model: recmem.Model) -> pl.DataFrame:
    """A row for each later ticket of a customer who wrote before, and each prepared answer.

    `of_question` is the cosine of ticket and answer, `of_memory` the raw match score of the answer, and `of_similarity`
    its cosine with the most similar past ticket, which nothing has to be learned for: each in standard deviations from
    the mean of the ticket's answers. `reason` is that of the match.
    """
    later = desk.tickets.filter(
        pl.int_range(pl.len()).over("user_id") > 0, pl.col("timestamp") >= START + timedelta(days=LEARNED_DAYS)
    )
    encoder = TextEncoder.load(model.bundle.config.encoder)
    questions = encoder.encode(later["question"].to_list()).numpy()
    answers = encoder.encode(desk.answers["text"].to_list()).numpy()
    pairs = later.rename({"answer_id": "best"}).join(desk.answers, how="cross")
    # The memory as of each ticket: only what was known when the customer wrote.
    matched = model.match_text_frame(pairs.select("user_id", "timestamp", "text")).frame
    scored = pairs.with_columns(
        of_question=pl.Series((questions @ answers.T).ravel()),
        of_memory=matched["match_raw"].cast(pl.Float64),
        of_similarity=matched["similarity_max"].cast(pl.Float64),
        reason=matched["reason"],
    )
    names = ("of_question", "of_memory", "of_similarity")
    return scored.with_columns(
        ((pl.col(name) - pl.col(name).mean()) / pl.col(name).std()).over("item_id") for name in names
    )


def first_answers(scored: pl.DataFrame, weights: Mapping[str, float]) -> pl.DataFrame:
    """The answer that comes first for each ticket by a weighted sum of columns, and whether it is the best."""
    total = pl.sum_horizontal(weight * pl.col(name) for name, weight in weights.items())
    first = scored.with_columns(total=total).sort("total", descending=True, maintain_order=True)
    chosen = first.group_by("item_id", maintain_order=True).first().sort("timestamp", "item_id")
    return chosen.with_columns(is_best=pl.col("answer_id") == pl.col("best"))


@dataclass(frozen=True)
class Outcome:
    """For the tickets after the weights were chosen: which answer comes first, by what it was chosen by."""

    weight: float
    """Of the memory."""
    firsts: dict[str, pl.DataFrame]


def measure(scored: pl.DataFrame) -> Outcome:
    """Chooses the weights on earlier tickets, and finds the first answers of the others."""
    is_test = pl.col("timestamp") >= START + timedelta(days=CHOSEN_DAYS)
    earlier = scored.filter(~is_test)
    test = scored.filter(is_test)
    of_similarity = _best_weights(earlier, "of_similarity")
    of_memory = _best_weights(earlier, "of_memory")
    firsts = {
        "question alone": first_answers(test, {"of_question": 1.0}),
        "memory alone": first_answers(test, {"of_memory": 1.0}),
        "question and similarity": first_answers(test, of_similarity),
        "question and memory": first_answers(test, of_memory),
    }
    return Outcome(of_memory["of_memory"], firsts)


def _best_weights(scored: pl.DataFrame, name: str) -> dict[str, float]:
    """The weights of the question and of this column with which the best answer comes first most often."""
    tried = [{"of_question": 1.0, name: weight} for weight in WEIGHTS]
    return max(tried, key=lambda weights: int(first_answers(scored, weights)["is_best"].sum()))


def interval(firsts: pl.DataFrame) -> tuple[float, float, float]:
    """The share of tickets whose best answer comes first, with its 95% interval: a bootstrap that draws customers."""
    of_customer = firsts.group_by("user_id", maintain_order=True).agg(n_best=pl.col("is_best").sum(), n=pl.len())
    n_best = of_customer["n_best"].to_numpy()
    n = of_customer["n"].to_numpy()
    drawn = np.random.default_rng(0).integers(len(n), size=(2000, len(n)))
    low, high = np.percentile(n_best[drawn].sum(axis=1) / n[drawn].sum(axis=1), [2.5, 97.5])
    return float(n_best.sum() / n.sum()), float(low), float(high)


def show(outcome: Outcome, n_shown: int = 3) -> None:
    """Prints the shares, and tickets whose answer the memory has changed, with its reason."""
    alone = outcome.firsts["question alone"]
    together = outcome.firsts["question and memory"]
    print(f"\nThe best answer comes first, of {len(alone):,} tickets (made up; memory's weight {outcome.weight:g})")
    print(f"{'chosen by':<24}{'all':>6}  95% interval   product named   not named")
    for name, firsts in outcome.firsts.items():
        share, low, high = interval(firsts)
        named = firsts.filter("names_product")["is_best"].mean()
        unnamed = firsts.filter(~pl.col("names_product"))["is_best"].mean()
        print(f"{name:<24}{share:>6.0%}  {low:.0%} to {high:.0%}{named:>15.0%}{unnamed:>12.0%}")
    asked = together.join(alone.select("item_id", before="text"), on="item_id", maintain_order="left")
    for ticket in asked.filter(pl.col("text") != pl.col("before")).head(n_shown).iter_rows(named=True):
        verdict = "the answer that solved it" if ticket["is_best"] else f"solved by: {ticket['best']}"
        print(f"\n{ticket['user_id']}, {ticket['timestamp']:%d %B %Y}: {ticket['question']}")
        print(f"  by the question: {ticket['before']}")
        print(f"  with the memory: {ticket['text']} [{verdict}]")
        print(f"  {ticket['reason']}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--customers", type=int, default=100, help="customers of the desk")
    n_customers = arguments.parse_args().customers
    desk = make_desk(n_customers)
    model = learned(desk, OUT / str(n_customers))
    show(measure(scored_answers(desk, model)))


if __name__ == "__main__":
    main()
