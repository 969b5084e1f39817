"""The style sheet and icon of the status page, and the policy that allows nothing else."""

import base64
import hashlib
from typing import Final

ICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='4' fill='%23e6522c'/%3E"
    "%3Cpath d='M4 12V8m4 4V4m4 8V6' stroke='white' stroke-width='2' stroke-linecap='round'/%3E"
    "%3C/svg%3E"
)
CSS: Final = """
:root{color-scheme:light dark;--bg:#f5f6f8;--card:#fff;--line:#e3e6ea;--text:#1b1f24;--dim:#5d6672;
--track:#e9ecf0;--ok:#2f9e5b;--warn:#e0a100;--warn-text:#8a6100;--crit:#d63a3a;--idle:#8b95a1;
--accent:#e6522c;--chip:#eef0f3;--shade:0 1px 2px #0f172a14,0 1px 6px #0f172a0a}
@media(prefers-color-scheme:dark){:root{--bg:#111418;--card:#1a1e24;--line:#2a3038;--text:#e7eaee;
--dim:#98a2ae;--track:#2b323a;--ok:#3fb96f;--warn:#e8b53a;--warn-text:#f0c65c;--crit:#f06060;
--idle:#707a86;--accent:#ff7a55;--chip:#272d35;--shade:none}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--text);
font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
a{color:inherit}
.top{background:var(--card);border-bottom:1px solid var(--line);border-top:3px solid var(--accent)}
.in{max-width:1240px;margin:0 auto;padding:14px 20px}
.top .in{display:flex;flex-wrap:wrap;align-items:center;gap:6px 18px}
.top h1{font-size:19px;margin:0;letter-spacing:-.01em}
.top .version{color:var(--dim);font-size:13px}
nav{display:flex;flex-wrap:wrap;gap:4px;margin-left:auto;font-size:13px}
nav a{padding:4px 10px;border-radius:6px;text-decoration:none;color:var(--dim)}
nav a:hover,nav a:focus-visible{background:var(--chip);color:var(--text)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px;margin:18px 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 14px;
box-shadow:var(--shade)}
.tile b{display:block;font-size:25px;line-height:1.2;font-weight:650;letter-spacing:-.02em;
font-variant-numeric:tabular-nums}
.tile span{color:var(--dim);font-size:13px}
.tile.ok b{color:var(--ok)}.tile.warn b{color:var(--warn-text)}.tile.crit b{color:var(--crit)}
.note{background:var(--card);border:1px solid var(--line);border-left:4px solid var(--idle);
border-radius:8px;padding:10px 14px;margin:0 0 16px;overflow-wrap:anywhere}
.note.crit{border-left-color:var(--crit)}
.note ul{margin:6px 0 0;padding-left:18px;font:13px/1.5 ui-monospace,Menlo,Consolas,monospace}
.note a{margin-right:12px;white-space:nowrap}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,560px),1fr));gap:16px;
align-items:start}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 16px 12px;
box-shadow:var(--shade);min-width:0}
.card:target{outline:2px solid var(--accent)}
.card>header{display:flex;flex-wrap:wrap;align-items:center;gap:4px 10px;margin-bottom:8px}
.card h2{font-size:16px;margin:0;overflow-wrap:anywhere}
.dot{width:10px;height:10px;border-radius:50%;background:var(--idle);flex:none}
.dot.ok{background:var(--ok)}.dot.warn{background:var(--warn)}.dot.crit{background:var(--crit)}
.chip{background:var(--chip);color:var(--dim);border-radius:20px;padding:1px 9px;font-size:12px}
.state{margin-left:auto;font-size:13px;color:var(--dim)}
.state.crit{color:var(--crit);font-weight:600}.state.warn{color:var(--warn-text)}
.why{margin:0 0 8px;padding:6px 10px;border-radius:8px;background:var(--chip);font-size:13px;
border-left:3px solid var(--idle);overflow-wrap:anywhere}
.why.crit{border-left-color:var(--crit)}.why.warn{border-left-color:var(--warn)}
.row{padding:7px 0;border-top:1px solid var(--line)}
.row .line{display:flex;flex-wrap:wrap;align-items:baseline;gap:0 10px}
.row .name{font-weight:550;overflow-wrap:anywhere}
.row .num{margin-left:auto;font-variant-numeric:tabular-nums}
.row .num i{font-style:normal;color:var(--dim)}
.row .pct{min-width:52px;text-align:right;font-weight:650;font-variant-numeric:tabular-nums}
.pct.ok{color:var(--ok)}.pct.warn{color:var(--warn-text)}.pct.crit{color:var(--crit)}
.bar{display:block;width:100%;height:8px;margin:5px 0 3px;border-radius:4px;background:var(--track);
overflow:hidden}
.bar .ok{fill:var(--ok)}.bar .warn{fill:var(--warn)}.bar .crit{fill:var(--crit)}
.bar .more{opacity:.35}.bar .end{fill:var(--text);opacity:.6}
.sub{color:var(--dim);font-size:12.5px}
.sub b{font-weight:600;color:var(--crit)}
.costs{display:flex;flex-wrap:wrap;gap:6px 22px;padding:8px 0;border-top:1px solid var(--line)}
.costs div{min-width:90px}.costs b{display:block;font-variant-numeric:tabular-nums}
.costs span{color:var(--dim);font-size:12.5px}
.card>footer{border-top:1px solid var(--line);padding-top:8px;margin-top:2px;color:var(--dim);
font-size:12.5px;display:flex;flex-wrap:wrap;gap:2px 14px}
details{margin-top:6px;font-size:12.5px}
summary{cursor:pointer;color:var(--dim)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;margin-top:6px}
th,td{text-align:left;padding:4px 10px 4px 0;border-top:1px solid var(--line);vertical-align:top;
font-weight:400}
th{color:var(--dim);white-space:nowrap}
td:last-child{overflow-wrap:anywhere}
td.t{white-space:nowrap}
.crit-text{color:var(--crit)}.ok-text{color:var(--ok)}
.empty{color:var(--dim);margin:6px 0}
.foot{color:var(--dim);font-size:12.5px;padding-bottom:28px}
@media(max-width:640px){.in{padding:12px}.state{margin-left:0}nav{margin-left:0}}
@media print{nav,details{display:none}.card{break-inside:avoid}}
"""


_CSS_HASH: Final = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_CSS_HASH}'; img-src data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy: this style sheet and icon; no script, font, frame, other origin."""
