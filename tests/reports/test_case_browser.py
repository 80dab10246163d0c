"""The case browser in a real browser, by mouse and keyboard, without a network."""

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from reports import html
from reports.cases import build
from reports.cases.choice import choose, judged
from reports.cases.loading import load_case
from reports.figures import make
from reports.results import Results
from reports.style import COLOURS, border_on_tissue

pytestmark = pytest.mark.chromium
PATIENCE_MS = 120_000  # without a graphics card, on a busy machine
expect.set_options(timeout=PATIENCE_MS)

PIXELS = """(canvas) => {
  const { data, width } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const found = { sum: 0, coloured: 0, bright: 0, width };
  for (let i = 0; i < data.length; i += 4) {
    found.sum = (found.sum * 31 + data[i] + 7 * data[i + 1] + 13 * data[i + 2]) % 1000000007;
    found.coloured += data[i] !== data[i + 1] || data[i + 1] !== data[i + 2];
    found.bright += data[i] / 255;
  }
  return found;
}"""
UNNAMED = """(root) => [...root.querySelectorAll("input, select, button, canvas, summary")]
  .filter((part) => !(part.getAttribute("aria-label") || part.textContent.trim()
    || [...(part.labels ?? [])].some((label) => label.textContent.trim())))
  .map((part) => part.outerHTML)"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, made: Callable[..., Path]) -> Results:
    """A study of four datasets, three of which may be shown: twelve cases."""
    results = Results(made(tmp_path_factory.mktemp("shown"), 4, 3, shown=3))
    build.make(results, 12.0)
    make(results, "fig4d")
    (results.folder / "report.html").write_text(html.render(results), encoding="utf-8")
    return results


@pytest.fixture(scope="module")
def context(chromium: Browser) -> Iterator[BrowserContext]:
    found = chromium.new_context(offline=True, viewport={"width": 1200, "height": 900})
    found.set_default_timeout(PATIENCE_MS)
    yield found
    found.close()


@pytest.fixture
def opened(context: BrowserContext, shown: Results) -> Iterator[Callable[..., Page]]:
    """Open the report at a place; in the end nothing went wrong and nothing was asked for."""
    wrong: list[str] = []
    asked_for: list[str] = []
    pages: list[Page] = []
    address = (shown.folder / "report.html").as_uri()

    def open_at(place: str = "") -> Page:
        page = context.new_page()
        pages.append(page)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asked: asked_for.append(asked.url.partition("#")[0]))
        page.goto(address + place)
        expect(page.locator("#case-name")).not_to_be_empty()
        return page

    yield open_at
    for page in pages:
        page.close()
    assert wrong == []
    assert set(asked_for) == {address}


@pytest.fixture
def page(opened: Callable[..., Page]) -> Page:
    return opened()


def seen(page: Page, axis: int = 0) -> dict[str, Any]:
    return dict(page.locator(f"#viewer canvas[data-axis='{axis}']").evaluate(PIXELS))


def choice(page: Page, name: str) -> Locator:
    return page.get_by_role("combobox", name=name, exact=True)


def link(page: Page, number: int) -> Locator:
    return page.locator("#case-table tbody a").nth(number)


def test_keys_wheel_and_sliders_move_the_slices(page: Page) -> None:
    for axis, name in enumerate(("Axial", "Coronal", "Sagittal")):
        slider = page.get_by_role("slider", name=name)
        before, start = seen(page, axis), int(slider.input_value())
        slider.press("ArrowRight")
        expect(slider).to_have_value(str(start + 1))
        assert seen(page, axis)["sum"] != before["sum"]
        canvas = page.locator(f"#viewer canvas[data-axis='{axis}']")
        canvas.press("ArrowDown")
        expect(slider).to_have_value(str(start))
        assert seen(page, axis) == before
        canvas.hover()
        page.mouse.wheel(0, -100)
        expect(slider).to_have_value(str(start + 1))
        label = canvas.get_attribute("aria-label") or ""
        assert label.startswith(f"{name} slice {start + 2} of ")


def test_a_click_moves_the_other_views(page: Page) -> None:
    before = seen(page, 1), seen(page, 2)
    page.locator("#viewer canvas[data-axis='0']").click(position={"x": 130, "y": 140})
    assert seen(page, 1)["sum"] != before[0]["sum"]
    assert seen(page, 2)["sum"] != before[1]["sum"]


def test_the_masks_are_where_they_belong(page: Page, shown: Results) -> None:
    """Tinted pixels of the reference alone, over all pixels of the plane: its area on the slice."""
    row = choose(judged(shown.objects, build.judges(shown)), {"D01", "D02", "D03"}, 1)[0]
    case = load_case(shown, row, build.MARGIN_MM)
    page.get_by_label("crosshair").uncheck()
    choice(page, "Masks").select_option("areas")
    page.get_by_role("button", name="None").click()
    for axis in range(3):
        found = seen(page, axis)
        mm = [n * s for n, s in zip(case.image.shape, case.spacing, strict=True)]
        rows, columns = (a for a in range(3) if a != axis)
        pixel = max(mm) / found["width"]
        place = int(page.get_by_role("slider").nth(axis).input_value())
        area = case.truth.take(place, axis).sum() * case.spacing[rows] * case.spacing[columns]
        assert area > 0
        assert found["coloured"] * pixel**2 == pytest.approx(area, rel=0.03)
    page.keyboard.press("0")
    assert seen(page)["coloured"] == 0


def test_a_toggle_changes_pixels(page: Page) -> None:
    before = seen(page)
    for box in page.locator("#mask-list input:not(:disabled)").all():
        box.uncheck()
    bare = seen(page)
    assert bare["coloured"] == 0 < before["coloured"]
    page.locator("#viewer canvas[data-axis='0']").press("0")
    assert page.locator("#mask-list input").first.is_checked()
    assert seen(page)["coloured"] > 0
    page.get_by_role("button", name="None").click()
    choice(page, "Masks").select_option("errors of one method")
    errors = [seen(page)["coloured"]]
    for name in ("PAM-1", "oracle"):
        choice(page, "Method").select_option(name)
        errors.append(seen(page)["coloured"])
    assert errors[0] > errors[1] > errors[2] == 0


def test_a_method_is_dashed_as_in_the_figures(context: BrowserContext, shown: Results) -> None:
    """Dashes go on from edge to edge of voxels, which are shorter than they are."""
    text = (shown.folder / "report.html").read_text(encoding="utf-8")
    assert '"dash": [1, 1.5], "name": "oracle"' in text  # a control
    dashed = shown.folder / "dashed.html"
    plain = '"dash": [], "name": "PAM-1"'
    assert plain in text
    dashed.write_text(text.replace(plain, '"dash": [15, 10], "name": "PAM-1"'), encoding="utf-8")
    drawn = []
    for path, striped in ((shown.folder / "report.html", False), (dashed, True)):
        page = context.new_page()
        page.goto(path.as_uri())
        expect(page.locator("#case-name")).not_to_be_empty()
        page.get_by_label("crosshair").uncheck()
        page.get_by_role("button", name="None").click()
        page.locator("[data-mask='reference']").uncheck()
        box = page.locator("[data-mask='PAM-1']")
        box.check()
        swatch = page.locator("#mask-list label").filter(has=box).locator(".swatch")
        assert ("gradient" in (swatch.get_attribute("style") or "")) == striped
        drawn.append(seen(page)["coloured"])
        page.close()
    assert drawn[1] == pytest.approx(drawn[0] * 15 / 25, rel=0.15)


def test_a_dark_line_has_a_light_border(context: BrowserContext, shown: Results) -> None:
    """Brown has a contrast of 1.3 with the grey of soft tissue in a usual window."""
    text = (shown.folder / "report.html").read_text(encoding="utf-8")
    line = r'"border": "", "colour": "#\w+"(, "control": false, "dash": \[\], "name": "PAM-1")'
    assert re.search(line, text)
    bright = []
    for border in ("", border_on_tissue(COLOURS[7])):
        path = shown.folder / "brown.html"
        brown = rf'"border": "{border}", "colour": "{COLOURS[7]}"\1'
        path.write_text(re.sub(line, brown, text), encoding="utf-8")
        page = context.new_page()
        page.goto(path.as_uri())
        expect(page.locator("#case-name")).not_to_be_empty()
        page.get_by_label("crosshair").uncheck()
        page.get_by_role("button", name="None").click()
        page.locator("[data-mask='reference']").uncheck()
        page.locator("[data-mask='PAM-1']").check()
        bright.append(seen(page)["bright"])
        page.close()
    assert bright[1] > bright[0] + 50


def test_windows(page: Page) -> None:
    soft = seen(page)
    choice(page, "Window").select_option("bone")
    bone = seen(page)
    assert bone["sum"] != soft["sum"]
    level = page.get_by_role("slider", name="Level")
    assert level.get_attribute("aria-valuetext") == "400 HU"
    level.press("Home")
    assert seen(page)["bright"] > bone["bright"]
    page.locator("#viewer canvas[data-axis='1']").press("w")
    page.locator("#viewer canvas[data-axis='1']").press("w")
    assert choice(page, "Window").input_value() == "lung"


def test_the_grey_value_is_that_of_the_scan(page: Page, shown: Results) -> None:
    row = choose(judged(shown.objects, build.judges(shown)), {"D01", "D02", "D03"}, 1)[0]
    case = load_case(shown, row, build.MARGIN_MM)
    at = tuple(int(page.get_by_role("slider").nth(axis).input_value()) for axis in range(3))
    said = page.locator("#here").inner_text()
    value = float(said.split("grey value ")[1].split(" HU")[0].replace(",", ""))
    assert value == pytest.approx(float(case.image[at]), abs=1.5)


def test_from_row_to_case_and_on_through_what_the_filter_left(page: Page) -> None:
    rows = page.locator("#case-table tbody tr")
    assert rows.count() == 12
    page.get_by_label("Filter the cases").fill("D02 lesion")
    left = page.locator("#case-table tbody tr:visible")
    assert left.count() == 2
    before = seen(page)
    left.first.get_by_role("link").click()
    expect(page.locator("#case-name")).to_contain_text("D02: lesion")
    expect(page.locator("#case-name")).to_be_focused()
    assert seen(page)["sum"] != before["sum"]
    first = page.locator("#case-name").inner_text()
    page.keyboard.press("n")
    expect(page.locator("#case-name")).not_to_have_text(first)
    expect(page.locator("#case-name")).to_contain_text("D02: lesion")
    page.keyboard.press("p")
    expect(page.locator("#case-name")).to_have_text(first)


def test_from_a_point_to_its_case(page: Page, shown: Results) -> None:
    points = page.locator("#plot circle")
    scored = shown.objects[shown.objects["status"] == "ok"]
    assert points.count() == len(scored)
    start = page.locator("#case-name").inner_text()
    hollow = page.locator("#plot circle.absent").first
    hollow.dispatch_event("pointerover")
    expect(page.locator("#plot-told")).to_contain_text("D04/")
    hollow.dispatch_event("click")
    expect(page.locator("#case-name")).to_have_text(start)
    solid = page.locator("#plot circle:not(.absent):not(.open)").first
    solid.dispatch_event("pointerover")
    told = page.locator("#plot-told").inner_text()
    solid.dispatch_event("click")
    expect(page.locator("#case-name")).to_contain_text(told.split(":")[0].split("/", 1)[1])
    choice(page, "Objects of").select_option("D02")
    assert page.locator("#plot circle:visible").count() == (scored["dataset"] == "D02").sum()


def test_from_a_figure_and_from_a_dataset(page: Page, shown: Results) -> None:
    spots = page.locator("#fig4d .spots a")
    methods = shown.times["method"].nunique() - len(shown.controls)
    assert spots.count() == (12 + 3) * methods  # objects, and below their datasets, with cases
    name = str(spots.nth(5).get_attribute("title")).partition(": ")[2]
    spots.nth(5).click()
    expect(page.locator("#case-name")).to_contain_text(name.split("/", 1)[1])
    page.locator("#fig4d .spots a[title$=': D02/']").first.click()
    expect(page.get_by_label("Filter the cases")).to_have_value("D02/")
    page.get_by_role("region", name="DSC by dataset").get_by_role("link", name="D03").click()
    left = page.locator("#case-table tbody tr:visible th")
    assert [text.split("/")[0] for text in left.all_inner_texts()] == ["D03"] * 4
    assert page.get_by_label("Filter the cases").input_value() == "D03/"
    assert choice(page, "Objects of").input_value() == "D03"


def test_on_a_phone_no_caption_is_wider_than_the_screen(opened: Callable[..., Page]) -> None:
    phone = opened()
    phone.set_viewport_size({"width": 390, "height": 844})
    right = "all => all.map(one => one.getBoundingClientRect().right)"
    assert max(phone.locator("table").evaluate_all(right)) > 390
    assert max(phone.locator("caption").evaluate_all(right)) <= 390


def test_an_address_opens_its_case(opened: Callable[..., Page], page: Page) -> None:
    key = link(page, 7).inner_text()
    other = opened(str(link(page, 7).get_attribute("href")))
    expect(other.locator("#case-name")).to_contain_text(key.split("/", 1)[1])
    expect(other.locator("#case-table a[aria-current='true']")).to_have_text(key)


def colours(picture: bytes) -> NDArray[np.int64]:
    """How far the channels of each pixel of a picture are apart: 0 in black, white and grey."""
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
    return np.asarray(np.ptp(pixels, axis=2))


def test_in_3d(page: Page) -> None:
    """Turned, a case looks different; the cube of directions is coloured whatever is shown."""
    page.get_by_role("button", name="Show in 3D").click()
    canvas = page.locator("#solid canvas")
    expect(canvas).to_have_attribute("data-drawn", "1")
    full = colours(canvas.screenshot())
    middle = tuple(slice(n // 3, 2 * n // 3) for n in full.shape)
    assert (full[middle] > 40).mean() > 0.5
    canvas.press("ArrowLeft")
    assert (colours(canvas.screenshot()) != full).any()
    page.get_by_role("button", name="None").click()
    canvas.press("0")
    expect(canvas).to_have_attribute("data-drawn", re.compile("[^1]"))
    assert (colours(canvas.screenshot())[middle] > 40).sum() == 0


def test_without_webgl_it_says_so(context: BrowserContext, shown: Results) -> None:
    page = context.new_page()
    page.add_init_script(
        "HTMLCanvasElement.prototype.getContext = (get => function (kind, ...more) {"
        "return kind === 'webgl2' ? null : get.call(this, kind, ...more); })"
        "(HTMLCanvasElement.prototype.getContext)"
    )
    page.goto((shown.folder / "report.html").as_uri())
    page.get_by_role("button", name="Show in 3D").click()
    expect(page.locator("#solid")).to_contain_text("no WebGL 2")
    page.close()


def test_every_control_has_a_name(page: Page) -> None:
    assert page.locator("section.cases").evaluate(UNNAMED) == []


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_dark_and_light(page: Page, scheme: Literal["dark", "light"]) -> None:
    page.emulate_media(color_scheme=scheme)
    ink, paper = page.locator("#viewer").evaluate(
        """(part) => [getComputedStyle(part).color, getComputedStyle(part).backgroundColor]
          .map((text) => text.match(/[0-9.]+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0))"""
    )
    assert (ink > paper) == (scheme == "dark")
    assert abs(ink - paper) > 300


def test_on_paper_nothing_is_to_be_clicked_and_captions_are_no_larger_than_the_text(
    opened: Callable[..., Page],
) -> None:
    page = opened()
    controls = page.locator("button, input, select, canvas, .screen")
    boxes = "(parts) => parts.filter((part) => part.getClientRects().length).length"
    sizes = "(part) => Number.parseFloat(getComputedStyle(part).fontSize)"
    assert controls.evaluate_all(boxes) > 40
    page.emulate_media(media="print")
    assert controls.evaluate_all(boxes) == 0  # a heading with a box is not repeated on each page
    assert page.locator("figcaption").first.evaluate(sizes) < page.locator("body").evaluate(sizes)
