"""Whole journeys through plaza's pages, as people make them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import ENOUGH, PATIENCE_MS, Device
from tests.plaza.harness import PASSWORD, Site, picture

pytestmark = pytest.mark.browser
Open = Callable[[], Page]


def sign_up(page: Page, name: str) -> None:
    """From the front page to being somebody."""
    page.get_by_role("link", name="Sign up").first.click()
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("I agree to").check()
    page.get_by_role("button", name="Create my account").click()
    expect(page.get_by_role("status")).to_contain_text("Welcome to Plaza")


def log_in(page: Page, name: str) -> None:
    """From the front page to one's home."""
    page.get_by_role("link", name="Log in").first.click()
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    expect(page.get_by_label("What is on your mind")).to_be_visible()


def fits(page: Page) -> None:
    """Nothing sticks out at the side, and nothing needs sideways scrolling."""
    page.wait_for_load_state()  # before its style is there a page is as wide as its widest word
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.evaluate("window.innerWidth")


def write_with_picture(page: Page, folder: Path) -> None:
    """From an empty box to a picture that shows."""
    file = folder / "square.jpg"
    file.write_bytes(picture(1))
    page.get_by_label("What is on your mind").fill("My first post\n\nwith two paragraphs & a <tag>")
    page.get_by_text("Add pictures").click()
    page.get_by_label("Picture 1").set_input_files(str(file))
    page.get_by_label("What is in it").first.fill("Coloured squares")
    expect(page.get_by_label("Picture 2")).to_be_visible()
    fits(page)
    page.get_by_role("button", name="Post", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Your post is out.")
    article = page.get_by_role("article").filter(has_text="My first post")
    expect(article).to_contain_text("with two paragraphs & a <tag>")
    image = article.get_by_role("img", name="Coloured squares")
    image.scroll_into_view_if_needed()
    expect(image).to_have_js_property("naturalWidth", 320)


def test_the_journey_of_a_new_person(open_page: Open, plaza: Site, device: Device, name: str, tmp_path: Path) -> None:
    """Sign up, post a picture with words for it, see it, reply, follow somebody, log out, log in."""
    writer = plaza.client(f"{name}w")
    writer.status_post(f"Words of {name}w")
    page = open_page()
    fits(page)
    sign_up(page, name)
    fits(page)
    write_with_picture(page, tmp_path)
    article = page.get_by_role("article").filter(has_text="My first post")
    article.get_by_role("link", name="Reply").click()
    page.get_by_label(f"Reply to {name}").fill("And an afterthought")
    page.get_by_role("button", name="Reply", exact=True).click()
    page.get_by_role("link", name="In a conversation").or_(page.get_by_text("And an afterthought")).first.wait_for()
    fits(page)
    page.goto(f"/@{name}w")
    page.get_by_role("button", name="Follow", exact=True).click()
    expect(page.get_by_role("button", name="Unfollow")).to_be_visible()
    fits(page)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Home").click()
    expect(page.get_by_role("article").filter(has_text=f"Words of {name}w")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("status")).to_have_text("You are logged out.")
    page.goto("/settings")
    assert "/login" in page.url
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Your profile")).to_be_visible()
    fits(page)


def test_the_journey_of_a_moderator(open_page: Open, plaza: Site, name: str) -> None:
    """A reader reports a post; a moderator finds it, takes it down, and sees that it is held elsewhere."""
    author, reader = plaza.client(f"{name}a"), plaza.client(f"{name}r")
    media = author.media_post(picture(2), "image/jpeg", description="Evidence")
    post = author.status_post(f"Bad words of {name}", media_ids=[media])
    plaza.moderator(name)
    reporting = open_page()
    log_in(reporting, reader.me().username)
    reporting.goto(f"/@{name}a/{post.id}")
    reporting.get_by_role("link", name="Report").click()
    reporting.get_by_label("It is against the law").check()
    reporting.get_by_label("Anything that a moderator should know").fill("Look at this")
    fits(reporting)
    reporting.get_by_role("button", name="Send the report").click()
    expect(reporting.get_by_role("status")).to_contain_text("A moderator will look at it")
    page = open_page()
    log_in(page, name)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Reports").click()
    report = page.get_by_role("region", name=re.compile("Report")).filter(has_text=f"Bad words of {name}")
    expect(report).to_contain_text("Look at this")
    expect(report).to_contain_text("Against the law")
    expect(report.get_by_role("img", name="Evidence")).to_be_visible()
    fits(page)
    report.get_by_label("Reason").fill("Against the law")
    report.get_by_role("button", name="Take down").click()
    expect(page.get_by_role("status")).to_contain_text("taken down, and stays down")
    expect(page.get_by_text(f"Bad words of {name}")).to_have_count(0)
    entry = page.get_by_role("row").filter(has_text=str(post.id))
    expect(entry).to_contain_text("Taken down")
    expect(entry).to_contain_text("Held")
    fits(page)
    answer = reporting.goto(f"/@{name}a/{post.id}")
    assert answer is not None
    assert answer.status == 404
    expect(reporting.get_by_role("heading", name="Nothing here")).to_be_visible()


def test_the_journey_of_a_banned_person(open_page: Open, plaza: Site, name: str) -> None:
    """Suspended while inside: out at once; logging in leads to what was decided, an appeal is heard, and they are back."""
    author, moderator, other = plaza.client(name), plaza.moderator(f"{name}m"), plaza.moderator(f"{name}o")
    author.status_post(f"Unkind words of {name}")
    page = open_page()
    log_in(page, name)
    with plaza.http(moderator) as http:
        suspend = {"type": "suspend", "text": "not kind"}
        assert http.post(f"/api/v1/admin/accounts/{author.me().id}/action", data=suspend).status_code == 200
    page.goto("/settings")
    assert "/login" in page.url
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    expect(page.get_by_text("Your account is suspended")).to_be_visible()
    page.goto("/settings")
    expect(page.get_by_role("heading", name="Decisions about you")).to_be_visible()
    expect(page.get_by_text("not kind")).to_be_visible()
    fits(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download my data").click()
    assert download.value.suggested_filename.endswith(".zip")
    page.get_by_text("Appeal", exact=True).click()
    page.get_by_label("Why should another moderator decide otherwise").fill("It was a joke")
    fits(page)
    page.get_by_role("button", name="Send the appeal").click()
    expect(page.get_by_text("A moderator will look at it")).to_be_visible()
    deciding = open_page()
    log_in(deciding, other.me().username)
    deciding.goto("/moderation/appeals")
    appeal = deciding.get_by_role("region", name=re.compile("Appeal")).filter(has_text=f"@{name} ")
    appeal.get_by_label("Answer").fill("So it was")
    fits(deciding)
    appeal.get_by_role("button", name="Overturn").click()
    expect(deciding.get_by_role("status")).to_have_text("Decided.")
    page.goto("/decisions")
    expect(page.get_by_text("So it was")).to_be_visible()
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Home").click()
    expect(page.get_by_role("article").filter(has_text=f"Unkind words of {name}")).to_be_visible()


@pytest.mark.parametrize("device", ENOUGH, ids=lambda device: str(device.label), indirect=True)
def test_wrong_input_is_explained_where_it_happened(open_page: Open, plaza: Site, name: str) -> None:
    """A taken name and a wrong password: an alert says so, and what was typed is still there."""
    plaza.client(name)
    page = open_page()
    page.goto("/register")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("I agree to").check()
    page.get_by_role("button", name="Create my account").click()
    expect(page.get_by_role("alert")).to_contain_text("already been taken")
    expect(page.get_by_label("Username")).to_have_value(name)
    page.goto("/login")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("don't belong together")
    fits(page)


@pytest.mark.parametrize("device", ENOUGH, ids=lambda device: str(device.label), indirect=True)
def test_the_keyboard_is_enough(open_page: Open, device: Device) -> None:
    """The first stop is the link past the navigation, and the focus can be seen."""
    page = open_page()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    box = skip.bounding_box()
    assert box is not None
    assert 0 <= box["x"] < device.width
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#main$"))


def test_scripts_add_small_comforts_only(open_page: Open, plaza: Site, device: Device, name: str) -> None:
    """With JavaScript letters are counted and one row for a picture shows; without, all rows are there."""
    plaza.client(name)
    page = open_page()
    log_in(page, name)
    page.get_by_label("What is on your mind").fill("twelve chars")
    page.get_by_text("Add pictures").click()
    expect(page.get_by_text("12 / 500")).to_be_visible(visible=device.scripts)
    for number in range(1, 5):
        expect(page.get_by_label(f"Picture {number}")).to_be_visible(visible=number == 1 or not device.scripts)


def test_what_is_chosen_before_the_scripts_are_there_counts(
    chromium: Browser, plaza: Site, name: str, tmp_path: Path
) -> None:
    """On a slow line somebody chooses a picture first: once the script comes, there is a row for the next one."""
    plaza.client(name)
    (tmp_path / "square.jpg").write_bytes(picture(1))
    context = chromium.new_context(base_url=plaza.base, service_workers="block")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto("/")
    log_in(page, name)
    held: list[Route] = []
    page.route("**/static/plaza.js", lambda route: held.append(route))  # noqa: PLW0108 - no built-in takes its mark
    with page.expect_request("**/static/plaza.js"):
        page.reload(wait_until="commit")
    page.get_by_text("Add pictures").click()
    page.get_by_label("Picture 1").set_input_files(str(tmp_path / "square.jpg"))
    expect(page.get_by_label("Picture 4")).to_be_visible()
    held[0].continue_()
    expect(page.get_by_label("Picture 4")).to_be_hidden()
    expect(page.get_by_label("Picture 2")).to_be_visible()
    expect(page.get_by_label("Picture 3")).to_be_hidden()
    context.close()


@pytest.mark.parametrize("device", ENOUGH, ids=lambda device: str(device.label), indirect=True)
def test_an_app_is_let_in_through_the_browser(open_page: Open, plaza: Site, device: Device, name: str) -> None:
    """The page that asks says what the app could do; yes sends the browser to the app with a code."""
    plaza.client(name)
    page = open_page()
    back = f"{plaza.base}/about"
    with plaza.http() as http:
        form = {"client_name": "Pocket", "redirect_uris": back, "scopes": "read write"}
        app = http.post("/api/v1/apps", data=form).json()
    query = f"response_type=code&client_id={app['client_id']}&redirect_uri={back}&scope=read+write"
    page.goto(f"/oauth/authorize?{query}")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Let Pocket in?")).to_be_visible()
    expect(page.get_by_text("Post, upload pictures")).to_be_visible()
    fits(page)
    page.get_by_role("button", name="Let it in").click()
    page.wait_for_url(re.compile(r"/about\?code="))


@pytest.mark.parametrize("device", ENOUGH, ids=lambda device: str(device.label), indirect=True)
def test_long_words_and_many_pictures_fit(open_page: Open, plaza: Site, device: Device, name: str) -> None:
    """A word of 400 letters, a long name and four pictures stay inside their cards."""
    api = plaza.client(f"{name}{'x' * (28 - len(name))}"[:30])
    api.account_update_credentials(display_name="W" * 60, note="n" * 400)
    media = [api.media_post(picture(seed), "image/jpeg") for seed in range(4)]
    api.status_post("w" * 400, media_ids=media)
    api.status_post("https://example.org/" + "a" * 300)
    page = open_page()
    page.goto(f"/@{api.me().username}")
    fits(page)
    page.goto("/public")
    fits(page)
