"""The peers side by side: for each goal of a row who is ahead, and by how much."""

NAMES = ("hevcast", "gstreamer", "chromium")


def better(goal):
    """Of a goal's text: what is more is better, or what is less."""
    return max if ">=" in goal else min


def void(r):
    return "error" in r or r["void"]


def compare(results):
    """[{row, goal, unit, values: {peer: value}, ahead, by}, …]; rows that are void or did not run have no value; a
    goal that only one peer has a value for is not compared. by: of the first ahead of the second, in the goal's unit."""
    rows, table = {}, []
    for r in results:
        for g in r.get("goals", []):
            rows.setdefault((r["row"], g["goal"]), []).append((r, g))
    for (row, goal), entries in rows.items():
        values = {r["peer"]: None if void(r) else g["value"] for r, g in entries}
        known = sorted((v, p) for p, v in values.items() if v is not None)
        if better(goal) is max:
            known.reverse()
        entry = {"row": row, "goal": goal, "unit": entries[0][1]["unit"], "values": values, "ahead": None, "by": None}
        if len(known) > 1:
            entry["by"] = abs(known[0][0] - known[1][0])
            entry["ahead"] = known[0][1] if entry["by"] > 0 else "even"
        table.append(entry)
    return table


def show(results):
    """The table, as text; hevcast's place is what counts."""
    lines, behind = [], 0
    f = lambda v: "-" if v is None else f"{v:.1f}"  # noqa: E731
    lines.append(f"{'row':>12}  {'goal':<44}" + "".join(f"{n:>11}" for n in NAMES) + "  ahead")
    for e in compare(results):
        ahead = "" if e["ahead"] is None else "even" if e["ahead"] == "even" else \
            f"{e['ahead']}, by {e['by']:.1f} {e['unit']}"
        behind += e["ahead"] not in (None, "even", "hevcast")
        lines.append(f"{e['row']:>12}  {e['goal']:<44}" + "".join(f"{f(e['values'].get(n)):>11}" for n in NAMES) +
                     f"  {ahead}")
    compared = [e for e in compare(results) if e["ahead"]]
    lines.append(f"compared: {len(compared)} goals; hevcast is behind in {behind}; void rows and what did not run are '-'")
    return "\n".join(lines)
