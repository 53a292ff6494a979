#!/usr/bin/env python3
"""Writes the sections of docs/numbers.md that `make bench-peers` and `make load` measure, and their charts.

The measurements are docs/measured/peers.json and docs/measured/load.json. A section stands between two comments of the
page, and a section without a measurement says so. The charts are docs/measured/*.svg.

usage: scripts/numbers_page.py [DOCS]
"""
import json
import re
import sys
import textwrap
from html import escape
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
PEERS, LOAD = "peers.json", "load.json"

# The colours have a contrast of at least 4.5 to the background, in both modes. The background is part of the picture,
# because a page may be dark while the reader's system is light.
STYLE = """
  .back { fill: #ffffff } text { fill: #1f2328; font: 14px system-ui, sans-serif } .title { font-weight: 600 }
  .other { fill: #59636e } .ours { fill: #0969da } .line { stroke: #0969da; stroke-width: 2; fill: none }
  .axis { stroke: #59636e }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 } text { fill: #f0f6fc } .other { fill: #9198a1 } .ours { fill: #4493f8 }
    .line { stroke: #4493f8 } .axis { stroke: #9198a1 }
  }
"""
WIDTH = 760


def number(value: float) -> str:
    """Returns a number with three significant digits, and without decimals from 100."""
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.3g}"


def prose(text: str) -> str:
    """Returns a paragraph in lines of the width of the documents."""
    return textwrap.fill(" ".join(text.split()), 125, break_long_words=False, break_on_hyphens=False)


def picture(title: str, description: str, height: int, body: list[str]) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img" aria-labelledby="title description">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="description">{escape(description)}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="16" y="28">{escape(title)}</text>',
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def bars(title: str, values: list[tuple[str, float]]) -> str:
    """Returns a chart with a bar for each value, whose last bar is that of crm-access."""
    row, left, room = 34, 330, WIDTH - 330 - 90
    largest = max(value for _, value in values) or 1
    body = []
    for index, (name, value) in enumerate(values):
        y, length = 46 + index * row, max(2, value / largest * room)
        kind = "ours" if index == len(values) - 1 else "other"
        body.append(f'<text x="{left - 10}" y="{y + 17}" text-anchor="end">{escape(name)}</text>')
        body.append(f'<rect class="{kind}" x="{left}" y="{y}" width="{length:.1f}" height="24" rx="3"/>')
        body.append(f'<text x="{left + length + 8:.1f}" y="{y + 17}">{number(value)}</text>')
    description = "; ".join(f"{name}: {number(value)}" for name, value in values) + "."
    return picture(title, description, 58 + len(values) * row, body)


def line(title: str, points: list[tuple[float, float]], unit: str) -> str:
    """Returns a chart of values over seconds."""
    left, top, bottom, right = 80, 50, 250, WIDTH - 30
    end, largest = max(x for x, _ in points) or 1, max(y for _, y in points) * 1.1 or 1
    path = " ".join(f"{left + x / end * (right - left):.1f},{bottom - y / largest * (bottom - top):.1f}" for x, y in points)
    body = [f'<polyline class="axis" fill="none" points="{left},{top} {left},{bottom} {right},{bottom}"/>',
            f'<polyline class="line" points="{path}"/>']
    for part in (0, 0.5, 1):
        y, x = bottom - part * (bottom - top), left + part * (right - left)
        body.append(f'<text x="{left - 8}" y="{y + 5:.0f}" text-anchor="end">{number(part * largest)}</text>')
        body.append(f'<text x="{x:.0f}" y="{bottom + 22}" text-anchor="middle">{part * end / 60:.1f} min</text>')
    values = [y for _, y in points]
    description = f"From {number(values[0])} to {number(values[-1])} {unit}, at most {number(max(values))} {unit}."
    return picture(f"{title}, {unit}", description, 290, body)


def table(peers: dict) -> str:
    """Returns the table of the peers, and below what each of them leaves out."""
    lines = [
        "| program | contacts a second | CPU s, program | CPU s, engine | requests | write units | read units |"
        " $ per million contacts |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    left_out: dict[str, list[str]] = {}
    for peer in peers["peers"]:
        lines.append(
            f"| {peer['name']} | {peer['contacts_per_second']:,.0f} | {peer['cpu_seconds']:.1f} |"
            f" {peer['engine_cpu_seconds']:.1f} | {peer['requests']:,} | {peer['write_units']:,.1f} |"
            f" {peer['read_units']:,.1f} | {peer['dollars_per_million']:.3f} |"
        )
        if peer["leaves_out"]:
            left_out.setdefault(peer["leaves_out"], []).append(peer["name"])
    lines += ["\n" + prose(f"{text}: {'; '.join(names)}.") for text, names in left_out.items()]
    return "\n".join(lines)


def peers_section(peers: dict, folder: Path) -> str:
    read, write = peers["prices"]
    charts = [
        ("peers-speed.svg", "Contacts a second", "contacts_per_second"),
        ("peers-cpu.svg", f"CPU seconds of the program for {peers['changed']:,} contacts", "cpu_seconds"),
        ("peers-cost.svg", "DynamoDB, dollars per million contacts", "dollars_per_million"),
    ]
    images = []
    for file, title, member in charts:
        values = [(peer["name"], peer[member]) for peer in peers["peers"]]
        (folder / file).write_text(bars(title, values))
        images.append(f"![{title}: the numbers of the table below as bars](measured/{file})")
    conditions = prose(f"""
        Each program gives {peers['changed']:,} of {peers['contacts']:,} contacts {peers['managers']} other managers: one
        run, {peers['shards']} shards, {peers['processors']} processors, and the embedded engine in a process of its own.
        Afterwards the script compares the access of every contact.""")
    notes = prose(f"""
        The Rust programs are built with cargo's profile `{peers['profile']}`. The CPU time of a script includes its start.
        All programs find the contacts in the tag index. crm-access and the bare loop also read the access before the
        change, which costs half a read unit a contact. Only crm-access writes on a condition; the other programs
        overwrite a change that they have not seen. A million write units cost ${write}, and a million read units ${read}
        ([deploy.md](deploy.md#cost)). [peers.json](measured/peers.json) has all digits.""")
    return "\n\n".join([conditions, "\n".join(images), table(peers), notes])


def load_table(load: dict) -> str:
    """Returns the table of the calls under load, without and with a job beside."""
    half = "calls a second | p50 ms | p99 ms | errors |"
    lines = [f"| call | connections | {half} beside a job: {half}", "| --- | ---: |" + " ---: |" * 8]
    cells = {(cell["call"], cell["connections"], cell["job"]): cell for cell in load["cells"]}
    for call, connections in dict.fromkeys((cell["call"], cell["connections"]) for cell in load["cells"]):
        row = f"| {call} | {connections} |"
        for job in (False, True):
            cell = cells[call, connections, job]
            p50, p99 = (number(cell[name]) if cell[name] is not None else "–" for name in ("p50_ms", "p99_ms"))
            errors = ", ".join(f"{count:,} × {what}" for what, count in cell["errors"].items()) or "0"
            row += f" {number(cell['per_second'])} | {p50} | {p99} | {errors} |"
        lines.append(row)
    return "\n".join(lines)


def load_section(load: dict, folder: Path) -> str:
    (folder / "load-memory.svg").write_text(line("Memory of the server (RSS)", load["memory"], "MB"))
    values = [megabytes for _, megabytes in load["memory"]]
    conditions = prose(f"""
        `crm-access serve` (cargo's profile `{load['profile']}`) with {load['contacts']:,} contacts and its data in a file,
        called by `wrk` on the same machine with {load['processors']} processors, {load['seconds']} s for each cell. A
        connection sends its next request after the answer. Rates and percentiles are those of calls answered with 200. The job
        beside changes {load['job_contacts']:,} contacts, and a new job starts when the job before has ended.""")
    memory = prose(f"""
        Memory of the server (RSS, one sample a second over {load['memory'][-1][0] / 60:.1f} minutes): {number(values[0])} MB
        at the start, at most {number(max(values))} MB, {number(values[-1])} MB at the end.""")
    notes = prose("""
        "Errors" counts the answers other than 200, by status, and failed connections; 202 means that the rest of a run became
        a job. [load.json](measured/load.json) has all
        digits.""")
    image = "![Memory of the server over time](measured/load-memory.svg)"
    return "\n\n".join([conditions, load_table(load), notes, memory, image])


def main() -> None:
    docs = Path(sys.argv[1]) if sys.argv[1:] else DOCS
    page, measured = docs / "numbers.md", docs / "measured"
    text = page.read_text()
    for file, target, section in ((PEERS, "bench-peers", peers_section), (LOAD, "load", load_section)):
        file = measured / file
        content = section(json.loads(file.read_text()), measured) if file.exists() else f"Not measured yet: `make {target}`."
        text, places = re.subn(rf"(<!-- make {target} -->\n).*?(\n<!-- end -->)",
                               lambda found: found.group(1) + content + found.group(2), text, flags=re.DOTALL)
        if places != 1:
            sys.exit(f"{page} has {places} places for make {target}")
    page.write_text(text)


if __name__ == "__main__":
    main()
