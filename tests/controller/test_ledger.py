"""Usage is counted exactly once, whatever happens to the beats that carry it."""

from cloister.fleet import RECORDS, UsageReport
from cloister.usage import UsageLog
from controller.accounts import Accounts
from controller.keys import Key
from controller.ledger import Ledger, Usage, by_name
from controller.store import Store
from tests.controller.conftest import new_store

TENANT = "tenant of ann"
DAY_S = 86_400.0


def log_of(*requests: str, tenant: str = TENANT) -> UsageLog:
    log = UsageLog()
    for request in requests:
        log.add(request, tenant, prompt_tokens=10, cached_tokens=4, generated_tokens=3)
    return log


def test_report_that_comes_twice_counts_once() -> None:
    ledger, log = Ledger(new_store()), log_of("a", "b")
    assert ledger.count(log.report()) == 2
    log.add("c", TENANT, prompt_tokens=1, cached_tokens=0, generated_tokens=1)
    assert ledger.count(log.report()) == 3  # the answer to the first one was lost
    assert ledger.totals() == {TENANT: Usage(3, 21, 8, 7)}


def test_counted_records_are_told_no_more() -> None:
    ledger, log = Ledger(new_store()), log_of("a", "b")
    log.counted(ledger.count(log.report()))
    assert log.report().records == ()


def test_long_backlog_goes_in_parts() -> None:
    ledger, log = Ledger(new_store()), log_of(*map(str, range(RECORDS + 1)))
    for left in (1, 0):
        log.counted(ledger.count(log.report()))
        assert len(log.report().records) == left
    assert ledger.totals()[TENANT].requests == RECORDS + 1


def test_restarted_controller_goes_on_where_it_was(tmp_path: object) -> None:
    store, log = new_store(), log_of("a")
    Ledger(store).count(log.report())
    log.add("b", TENANT, prompt_tokens=10, cached_tokens=4, generated_tokens=3)
    assert Ledger(store).count(log.report()) == 2
    assert Ledger(store).totals() == {TENANT: Usage(2, 20, 8, 6)}


def test_restarted_worker_numbers_anew() -> None:
    ledger = Ledger(new_store())
    ledger.count(log_of("a").report())
    ledger.count(log_of("b").report())
    assert ledger.totals()[TENANT].requests == 2


def test_estimate_counts_until_the_worker_tells_better() -> None:
    ledger = Ledger(new_store())
    ledger.estimate("a", TENANT, prompt_tokens=9, generated_tokens=2)
    ledger.estimate("b", TENANT, prompt_tokens=9, generated_tokens=2)
    assert ledger.totals() == {TENANT: Usage(2, 18, 0, 4)}
    ledger.count(log_of("a").report())
    assert ledger.totals() == {TENANT: Usage(2, 19, 4, 5)}


def test_usage_is_kept_by_day() -> None:
    now = 0.0
    ledger = Ledger(new_store(), now=lambda: now)
    ledger.count(log_of("a").report())
    now += DAY_S
    ledger.count(log_of("b", "c").report())
    assert ledger.totals("1970-01-02")[TENANT].requests == 2
    assert ledger.totals(until="1970-01-01")[TENANT].requests == 1
    assert ledger.totals("1970-01-03") == {}


def test_names_sum_up_their_keys_old_and_new() -> None:
    keys = [Key("ann", "one"), Key("bob", "two"), Key("ann", "three")]
    totals = {"one": Usage(1), "three": Usage(2), "": Usage(4)}
    assert by_name(totals, keys) == {"": Usage(4), "ann": Usage(3), "bob": Usage()}


async def test_record_is_on_disk_before_it_is_acknowledged() -> None:
    store = new_store()
    accounts = Accounts(store)
    heard = await accounts.count(log_of("a").report())
    assert heard.counted == 1
    (row,) = store.reader.execute("SELECT requests FROM usage").fetchall()
    assert row["requests"] == 1
    assert (await accounts.count(UsageReport())).counted == 0
    accounts.close()


def test_file_holds_counts_and_no_ids_of_counted_requests(tmp_path: object) -> None:
    store: Store = new_store()
    Ledger(store).count(log_of("request-id").report())
    assert not any("request-id" in line for line in store.reader.iterdump())
