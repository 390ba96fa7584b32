"""The page at `/`: one self-contained HTML in Vietnamese and English that polls /v1/state; it never sees a card id."""

PAGE = """<!DOCTYPE html>
<html lang="vi">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Chốt</title>
<style>
:root { --ground: #f6f7f5; --card: #fff; --ink: #1c2420; --soft: #5c6a62; --line: #dde3de; --good: #1d7a46;
  --warn: #9a5b00; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ground: #131714; --card: #1c221e; --ink: #e7ece8; --soft: #9aa8a0;
  --line: #313a34; --good: #63c98d; --warn: #e5a94b; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.45 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 16px; }
header { display: flex; align-items: baseline; gap: 12px; flex-wrap: wrap; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 28px 0 10px; }
header .grow { flex: 1; color: var(--soft); }
button { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 4px 12px; cursor: pointer; }
.places { display: grid; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); gap: 12px; }
.place { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px; }
.place h3 { margin: 0 0 4px; font-size: 1rem; overflow-wrap: anywhere; }
.count { font-size: 2.4rem; font-weight: 650; font-variant-numeric: tabular-nums; line-height: 1.1; }
.soft { color: var(--soft); font-size: .875rem; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 8px 12px; border-bottom: 1px solid var(--line); vertical-align: top; }
td.wide { min-width: 190px; }
tr:last-child td { border-bottom: 0; }
th { color: var(--soft); font-weight: 550; white-space: nowrap; }
code { font-size: .85em; }
#trouble { display: none; margin-top: 12px; padding: 8px 12px; border: 1px solid var(--bad); border-radius: 8px; }
</style>
</head>
<body>
<main>
<header><h1>Chốt</h1><span class="grow" id="now"></span><button id="language"></button></header>
<div id="trouble" class="bad" role="alert"></div>
<h2 data-say="places"></h2><div class="places" id="places" aria-live="polite"></div>
<h2 data-say="boards"></h2><div class="scroll"><table id="boards"></table></div>
<section id="lost"><h2 data-say="gaps"></h2><div class="scroll"><table id="gaps"></table></div></section>
<h2 data-say="matters"></h2><div class="scroll"><table id="matters"></table></div>
</main>
<script>
"use strict";
const WORDS = {
  vi: { other: "English", places: "Lượt quét theo chốt", boards: "Thiết bị", matters: "Cần xem lại",
    scans: "lượt", minute: "lượt trong phút vừa qua", last: "lần cuối", notCards: "không phải thẻ",
    unscanned: "lượt qua cửa không quét", wavedIn: "người vào không thẻ, gác cửa cho", never: "chưa có",
    board: "thiết bị", place: "chốt", seen: "liên lạc", firmware: "phần mềm", health: "tình trạng", link: "mạng",
    clock: "đồng hồ", known: "đã biết giờ", unknown: "chưa biết giờ", data: "dữ liệu", none: "Không có gì.",
    waiting: "sector chờ gửi", heap: "bộ nhớ trống", drops: "lượt đọc bỏ", failures: "gửi lỗi",
    lost: "sector bị ghi đè",
    quarantined: "cách ly", clones: "nghi nhân bản", missing: "sector thiếu", holes: "lỗ hổng", fine: "đủ",
    torn: "đoạn dở do mất điện",
    ago: s => s < 60 ? s + " giây trước" : s < 3600 ? Math.floor(s / 60) + " phút trước"
      : Math.floor(s / 3600) + " giờ trước", links: { 1: "Wi-Fi", 2: "di động" }, when: "lúc", what: "việc",
    detail: "chi tiết", filling: "nhật ký gần đầy:", almostFull: "nhật ký sắp hết chỗ:", unusable: "sector không dùng được",
    gaps: "Nhật ký còn thiếu", sectors: "sector", why: "vì sao", between: "trong khoảng", about: "khoảng", before: "trước",
    records: "bản ghi", causes: { "overwritten": "đã bị ghi đè", "may still come": "có thể còn tới",
      "damaged": "sector hỏng, byte nằm trong cách ly", "not received": "không nhận được, không rõ vì sao" },
    gone: "Mất liên lạc với trung tâm, số liệu bên dưới đã cũ." },
  en: { other: "Tiếng Việt", places: "Scans by checkpoint", boards: "Boards", matters: "To be looked at",
    scans: "scans", minute: "in the last minute", last: "last", notCards: "not a card",
    unscanned: ["passage without a scan", "passages without a scan"],
    wavedIn: "let in by the guard without a card", never: "none yet",
    board: "board", place: "checkpoint", seen: "seen", firmware: "firmware", health: "health", link: "link",
    clock: "clock", known: "time known", unknown: "time unknown", data: "data", none: "Nothing.",
    waiting: ["sector waiting", "sectors waiting"], heap: "heap free", drops: ["read dropped", "reads dropped"],
    failures: ["uplink failure", "uplink failures"], lost: ["sector overwritten", "sectors overwritten"],
    quarantined: "quarantined", clones: ["clone suspected", "clones suspected"],
    missing: ["sector missing", "sectors missing"], holes: ["hole", "holes"], fine: "complete",
    torn: ["end torn by a power cut", "ends torn by power cuts"],
    ago: s => s < 60 ? s + " s ago" : s < 3600 ? Math.floor(s / 60) + " min ago"
      : Math.floor(s / 3600) + " h ago", links: { 1: "Wi-Fi", 2: "cellular" }, when: "when", what: "what",
    detail: "detail", filling: "journal filling up:", almostFull: "journal almost full:",
    unusable: ["sector unusable", "sectors unusable"],
    gaps: "Missing of the journals", sectors: "sectors", why: "why", between: "between", about: "about", before: "before",
    records: ["record", "records"], causes: { "overwritten": "overwritten", "may still come": "may still come",
      "damaged": "damaged, the bytes are in quarantine", "not received": "not received, nobody knows why" },
    gone: "The collector does not answer; what you see below is old." } };
const KINDS = { "clone: one name, two contents": "nhân bản: một tên, hai nội dung", "quarantine": "cách ly",
  "clone: epochs overlap": "nhân bản: hai kỳ khoá chồng nhau", "collector key not held": "không có khoá trung tâm này",
  "clone: an epoch in two generations": "nhân bản: một kỳ khoá ở hai thế hệ", "epoch key refused": "khoá bị từ chối",
  "clone: two boots alive at once": "nhân bản: hai lần khởi động cùng chạy" };
let language = navigator.language.toLowerCase().startsWith("vi") ? "vi" : "en";
let state = null;

function make(name, text, style) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;  // text only: names from outside are never markup
  if (style) element.className = style;
  return element;
}
function clock(ms) { return new Date(ms).toLocaleString(language === "vi" ? "vi-VN" : "en-GB"); }
function within(earliest, latest) {
  const half = Math.round((latest - earliest) / 2);
  if (half >= 86400000) return "≤ " + clock(latest);
  return clock(earliest + half) + (half > 1000 ? " ± " + Math.round(half / 1000) + " s" : "");
}
function counted(count, words) {
  return count + " " + (typeof words === "string" ? words : words[count === 1 ? 0 : 1]);
}
function lines(cell, entries) {
  for (const [text, style] of entries) cell.append(make("div", text, style));
  return cell;
}
function show() {
  const w = WORDS[language];
  document.documentElement.lang = language;
  document.getElementById("language").textContent = w.other;
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = w[element.dataset.say];
  if (!state) return;
  document.getElementById("now").textContent = clock(state.now);
  const places = state.checkpoints.map(p => {
    const card = make("div", undefined, "place");
    card.append(make("h3", p.checkpoint), make("div", p.scans, "count"));
    const door = [];
    if (p.unscanned) door.push([counted(p.unscanned, w.unscanned), "warn"]);
    if (p.waved_in) door.push([counted(p.waved_in, w.wavedIn), "soft"]);
    return lines(card, [[p.last_minute + " " + w.minute, p.last_minute ? "good" : "soft"],
      [w.last + ": " + (p.last_latest === undefined ? w.never : within(p.last_earliest, p.last_latest)), "soft"],
      [p.not_cards + " " + w.notCards, "soft"], ...door]);
  });
  document.getElementById("places").replaceChildren(...(places.length ? places : [make("p", w.none, "soft")]));
  const head = make("tr");
  for (const name of ["board", "place", "seen", "firmware", "link", "clock", "health", "data"]) {
    head.append(make("th", w[name]));
  }
  const rows = state.boards.map(b => {
    const row = make("tr"), h = b.health, id = make("td");
    id.append(make("code", b.device));
    const age = b.last_seen === null ? null : Math.max(0, Math.floor((state.now - b.last_seen) / 1000));
    const health = [];
    if (h.sectors_unreleased !== undefined) health.push([counted(h.sectors_unreleased, w.waiting)]);
    if (h.heap_free_bytes !== undefined) health.push([Math.round(h.heap_free_bytes / 1024) + " KB " + w.heap]);
    for (const [key, name] of [["reads_dropped", "drops"], ["uplink_failures", "failures"]]) {
      if (h[key] !== undefined) health.push([counted(h[key], w[name]), h[key] ? "warn" : ""]);
    }
    if (h.sectors_lost) health.push([counted(h.sectors_lost, w.lost), "bad"]);
    if (h.sectors_unusable) health.push([counted(h.sectors_unusable, w.unusable), "warn"]);
    const fill = h.journal_fill_percent;
    if (fill >= 95) health.push([w.almostFull + " " + fill + " %", "bad"]);
    else if (fill >= 80) health.push([w.filling + " " + fill + " %", "warn"]);
    const data = [];
    for (const [count, name, style] of [[b.clones, "clones", "bad"], [b.quarantined - b.torn, "quarantined", "warn"],
        [b.missing_sectors, "missing", "warn"], [b.holes, "holes", "warn"]]) {
      if (count) data.push([counted(count, w[name]), style]);
    }
    if (!data.length) data.push([w.fine, "good"]);
    if (b.torn) data.push([counted(b.torn, w.torn), "soft"]);
    row.append(id, make("td", b.checkpoint),
      make("td", age === null ? w.never : w.ago(age), age === null ? "soft" : age < 150 ? "good" : "warn"),
      make("td", b.firmware === null ? "–" : b.firmware),
      make("td", (w.links[h.link] || "–") + (h.rssi_dbm === undefined ? "" : " " + h.rssi_dbm + " dBm")),
      make("td", b.clock_known ? w.known : w.unknown, b.clock_known ? "good" : "warn"),
      lines(make("td", undefined, "wide"), health.length ? health : [["–"]]),
      lines(make("td", undefined, "wide"), data));
    return row;
  });
  document.getElementById("boards").replaceChildren(head, ...rows);
  document.getElementById("lost").hidden = !state.missing.length;
  const above = make("tr");
  for (const name of ["place", "board", "sectors", "why", "between", "about"]) above.append(make("th", w[name]));
  const lost = state.missing.map(g => {
    const row = make("tr"), id = make("td");
    id.append(make("code", g.device));
    const first = g.first_sector + (g.first_offset > 64 ? "+" + g.first_offset : "");
    const last = g.last_sector + (g.end_offset < 4096 ? "+" + g.end_offset : "");
    row.append(make("td", g.checkpoints.join(" / ") || "–"), id, make("td", first === last ? first : first + " … " + last),
      make("td", w.causes[g.cause] || g.cause, g.cause === "may still come" ? "warn" : "bad"),
      make("td", (g.earliest ? clock(g.earliest) + " … " : w.before + " ") + clock(g.latest)),
      make("td", counted(g.records, w.records)));
    return row;
  });
  document.getElementById("gaps").replaceChildren(above, ...lost);
  const top = make("tr");
  for (const name of ["when", "board", "what", "detail"]) top.append(make("th", w[name]));
  const matters = state.reports.map(r => {
    const row = make("tr"), id = make("td");
    id.append(make("code", r.device));
    row.append(make("td", clock(r.last)), id, make("td", language === "vi" ? KINDS[r.kind] || r.kind : r.kind,
      r.kind.startsWith("clone") ? "bad" : "warn"), make("td", r.detail + (r.times > 1 ? " × " + r.times : "")));
    return row;
  });
  const nothing = make("tr");
  nothing.append(make("td", w.none, "soft"));
  document.getElementById("matters").replaceChildren(...(matters.length ? [top, ...matters] : [nothing]));
}
async function poll() {
  const trouble = document.getElementById("trouble");
  try {
    const answer = await fetch("v1/state", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(String(answer.status));
    state = await answer.json();
    trouble.style.display = "none";
  } catch (error) {
    trouble.textContent = WORDS[language].gone;
    trouble.style.display = "block";
  }
  show();
  setTimeout(poll, 2000);
}
document.getElementById("language").onclick = () => { language = language === "vi" ? "en" : "vi"; show(); };
show();
poll();
</script>
</body>
</html>
"""
