--- The style sheet: light, dark and for paper. Lines and bars have Okabe and Ito's colours, which
-- colour-blind readers can tell apart (jfly.uni-koeln.de/color), lighter on the dark page.
return [[
:root { color-scheme: light dark; --page: #fff; --ink: #1b1d21; --quiet: #5c626b; --rule: #dfe2e6;
  --shade: #f4f5f7; --good: #e3f1ea; --warn: #9a4a00; --outline: #d9dde2;
  --c0: #b9bec5; --c1: #0072b2; --c2: #d55e00; --c3: #009e73; --c4: #b65a92; --c5: #c98a00;
  --c6: #3fa0d8; --c7: #7a6a55; --c8: #555b66; }
@media (prefers-color-scheme: dark) { :root { --page: #16181c; --ink: #e6e8eb; --quiet: #9aa1ab;
  --rule: #343840; --shade: #1f2227; --good: #1d3a2e; --warn: #f0a050; --outline: #3a3f48;
  --c0: #5d636d; --c1: #56a8e8; --c2: #f08040; --c3: #2fc296; --c4: #e08fc0; --c5: #e8b23a;
  --c6: #8fd0f5; --c7: #c0ab90; --c8: #aab1bc; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px 20px 60px; max-width: 1240px; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, -apple-system, Segoe UI, DejaVu Sans, sans-serif; }
h1 { font-size: 25px; margin: 0 0 2px; line-height: 1.25; overflow-wrap: anywhere; }
h2 { font-size: 20px; margin: 32px 0 6px; padding-top: 10px; border-top: 2px solid var(--rule);
  overflow-wrap: anywhere; }
h3 { font-size: 16px; margin: 26px 0 4px; }
p { margin: 4px 0 8px; max-width: 110ch; }
.quiet { color: var(--quiet); font-size: 13px; }
.warn { color: var(--warn); }
code, pre { font: 13px/1.45 ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace; }
code { overflow-wrap: anywhere; }
pre { background: var(--shade); padding: 8px 10px; overflow-x: auto; white-space: pre-wrap;
  overflow-wrap: anywhere; }
/* A table that is too wide scrolls; a shadow at a side says that there is more. */
.scroll { overflow-x: auto; margin: 8px 0; background:
  linear-gradient(90deg, var(--page) 30%, transparent) 0 0 / 40px 100% no-repeat local,
  linear-gradient(270deg, var(--page) 30%, transparent) 100% 0 / 40px 100% no-repeat local,
  linear-gradient(90deg, #0003, transparent) 0 0 / 12px 100% no-repeat scroll,
  linear-gradient(270deg, #0003, transparent) 100% 0 / 12px 100% no-repeat scroll; }
td code { overflow-wrap: normal; white-space: nowrap; }
td.value code { overflow-wrap: anywhere; white-space: normal; }
table.sorts thead th { cursor: pointer; }
table.sorts thead th:hover { color: var(--c1); }
th[aria-sort=descending]::after { content: ' \25be'; }
th[aria-sort=ascending]::after { content: ' \25b4'; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 10px 4px 0; text-align: left; vertical-align: top; }
th { font-weight: 600; white-space: nowrap; vertical-align: bottom; }
tbody th { vertical-align: top; }
th.long { white-space: normal; max-width: 34ch; overflow-wrap: break-word; }
thead th { border-bottom: 1px solid var(--ink); }
tbody tr + tr td, tbody tr + tr th { border-top: 1px solid var(--rule); }
th.n, td.n { text-align: right; white-space: nowrap; padding-left: 5px; padding-right: 7px; }
td.best { background: var(--good); font-weight: 600; }
td .sd { color: var(--quiet); font-size: 12px; font-weight: 400; }
th .unit { color: var(--quiet); font-weight: 400; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr));
  gap: 14px 20px; margin: 10px 0; }
svg { display: block; width: 100%; height: auto; }
svg.wide { min-width: 760px; max-width: 980px; }
svg text { fill: var(--quiet); font-size: 12px; font-family: inherit; }
svg text.title { fill: var(--ink); font-size: 13px; font-weight: 600; }
svg text.strong { fill: var(--ink); font-variant-numeric: tabular-nums; }
svg text.name { fill: currentColor; }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .axis { stroke: var(--quiet); stroke-width: 1; }
svg .line { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round; }
svg .thin { stroke-width: 1; opacity: .75; }
svg .c0 .line { stroke-width: 1; }
svg .band { fill: currentColor; opacity: .14; }
svg .dot { fill: currentColor; }
svg .line, svg .band { vector-effect: non-scaling-stroke; }
svg path.dot { stroke-width: 6; stroke-linecap: round; fill: none; }
svg g:hover .line { stroke-width: 3; }
svg .rule { stroke: var(--quiet); stroke-width: 1; stroke-dasharray: 2 2; }
svg[data-axis] { touch-action: pan-y; }
g.off { display: none; }
.tip { position: fixed; z-index: 2; max-width: 92vw; padding: 5px 9px; font-size: 12.5px;
  background: var(--page); border: 1px solid var(--quiet); border-radius: 4px;
  box-shadow: 0 2px 8px #0003; pointer-events: none; font-variant-numeric: tabular-nums; }
.tip[hidden] { display: none; }
.tip i { font-style: normal; } .tip span { color: var(--ink); }
svg .segment { fill: currentColor; }
svg .hollow .dot, svg .segment.hollow { fill: var(--page); stroke: currentColor; stroke-width: 2; }
svg .outline { fill: var(--outline); }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); }
.c3 { color: var(--c3); } .c4 { color: var(--c4); } .c5 { color: var(--c5); }
.c6 { color: var(--c6); } .c7 { color: var(--c7); } .c8 { color: var(--c8); }
ul.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 20px; padding: 0;
  margin: 8px 0; font-size: 13px; }
ul.legend li[role] { cursor: pointer; user-select: none; }
ul.legend li[role]:hover { text-decoration: underline; }
ul.legend li.off { opacity: .4; text-decoration: line-through; }
ul.legend svg { display: inline-block; width: auto; vertical-align: -1px; }
ul.notes { margin: 4px 0; padding-left: 20px; font-size: 13px; }
.meter { position: relative; width: 150px; height: 10px; margin-top: 6px; background: none; }
.meter i { position: absolute; left: 0; top: 0; height: 10px; background: var(--outline); }
.meter b { position: absolute; left: 0; top: 0; height: 10px; background: var(--c1); }
details { margin: 8px 0; }
summary { cursor: pointer; }
summary:hover { color: var(--c1); }
details p, details .scroll, details pre, details ul { margin-left: 18px; }
@media print {
  :root { color-scheme: light; --page: #fff; --ink: #000; --quiet: #444; --rule: #ccc;
    --shade: #f4f4f4; --good: #e8f3ee; --outline: #ddd; }
  body { max-width: none; padding: 0; font-size: 11pt; }
  svg, tr, figure { break-inside: avoid; }
  h2, h3, summary { break-after: avoid; }
  .scroll { overflow: visible; }
  svg.wide { min-width: 0; }
  table { font-size: 9pt; }
  th, td { padding-right: 8px; }
}
]]
