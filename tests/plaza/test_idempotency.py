"""Idempotency-Key: exactly one post, however often and from however many sides it is sent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.plaza.harness import Site


def test_many_at_once_are_one_post(plaza: Site, name: str) -> None:
    """Twenty-four requests with one key at the same moment give one post and one answer."""
    api = plaza.client(name)

    def post(_: int) -> tuple[int, str]:
        with plaza.http(api) as http:
            headers = {"Idempotency-Key": "the same"}
            answer = http.post("/api/v1/statuses", data={"status": "once"}, headers=headers)
            while answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:  # all connections are at work
                answer = http.post("/api/v1/statuses", data={"status": "once"}, headers=headers)
            return answer.status_code, answer.json().get("id", "")

    with ThreadPoolExecutor(24) as pool:
        answers = set(pool.map(post, range(24)))
    assert len(answers) == 1
    [(status, post_id)] = answers
    assert status == 200
    me = int(api.me().id)
    assert plaza.sql("SELECT id FROM statuses WHERE account_id = %s", me) == [(int(post_id),)]
    assert api.me().statuses_count == 1


def test_keys_belong_to_one_person(plaza: Site, name: str) -> None:
    """The same key of somebody else is another post; another key is too."""
    one, two = plaza.client(name), plaza.client(f"{name}b")
    first = one.status_post("mine", idempotency_key="k")
    assert two.status_post("yours", idempotency_key="k").id != first.id
    assert one.status_post("mine", idempotency_key="k").id == first.id
    assert one.status_post("mine", idempotency_key="k" * 300).id != first.id


def test_a_refused_post_leaves_its_key_free(plaza: Site, name: str) -> None:
    """What was refused can be corrected and sent again with the same key."""
    with plaza.http(plaza.client(name)) as http:
        headers = {"Idempotency-Key": "second try"}
        bad = http.post("/api/v1/statuses", data={"status": "x", "media_ids[]": "77"}, headers=headers)
        assert bad.status_code == 422
        assert http.post("/api/v1/statuses", data={"status": "x"}, headers=headers).status_code == 200


def test_a_key_does_not_bring_a_deleted_post_back(plaza: Site, name: str) -> None:
    """Sending again after deletion posts nothing."""
    api = plaza.client(name)
    post = api.status_post("gone soon", idempotency_key="k")
    api.status_delete(post)
    with plaza.http(api) as http:
        again = http.post("/api/v1/statuses", data={"status": "gone soon"}, headers={"Idempotency-Key": "k"})
    assert again.status_code == 404
    assert api.me().statuses_count == 0


def test_new_ids_sort_by_time_and_cannot_be_counted_through(plaza: Site, name: str) -> None:
    """Ids grow, as strings too, and the low bits are random."""
    api = plaza.client(name)
    ids = [api.status_post(f"n{number}").id for number in range(20)]
    assert ids == sorted(ids)
    assert [str(one) for one in ids] == sorted(str(one) for one in ids)
    assert len({int(one) & 0xFFFF for one in ids}) > 15
