// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hypersd::report::detail {

/// Style sheet of a report: system fonts, light or dark by the reader's setting, wide and narrow screens.
inline constexpr const char* html_style = R"css(
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1f2937;--soft:#6b7280;--line:#e5e7eb;--accent:#2563eb;
--tint:#eff4ff;--best:#dcfce7;--best-ink:#14532d;--shadow:0 1px 2px rgba(16,24,40,.06),0 1px 6px rgba(16,24,40,.05)}
@media(prefers-color-scheme:dark){:root{--bg:#0f1218;--card:#181c25;--ink:#e5e7eb;--soft:#9aa3b2;--line:#2a3040;
--accent:#7aa2ff;--tint:#1b2438;--best:#133b24;--best-ink:#bbf7d0;--shadow:none}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:4rem}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main,header>div,nav>div{max-width:1180px;margin:0 auto;padding:0 1.25rem}
header{padding:3rem 0 1.5rem}
h1{margin:0;font-size:2.1rem;line-height:1.2;letter-spacing:-.02em}
header p{margin:.5rem 0 0;color:var(--soft);font-size:1.08rem;max-width:48rem}
nav{position:sticky;top:0;z-index:2;background:var(--bg);border-bottom:1px solid var(--line)}
nav>div{display:flex;gap:.3rem;overflow-x:auto;padding-top:.5rem;padding-bottom:.5rem}
nav a{color:var(--soft);text-decoration:none;white-space:nowrap;padding:.2rem .7rem;border-radius:99px;font-size:.92rem}
nav a:hover{color:var(--accent);background:var(--tint)}
section{background:var(--card);border:1px solid var(--line);border-radius:14px;box-shadow:var(--shadow);
padding:1.4rem 1.6rem;margin:1.4rem 0}
h2{margin:0 0 .6rem;font-size:1.32rem;letter-spacing:-.01em}
h3{margin:1.6rem 0 .4rem;font-size:1.05rem}
p{margin:.5rem 0;max-width:46rem}
ul{margin:.5rem 0;padding-left:1.3rem;max-width:46rem}
code,pre{font:.9em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
code{background:var(--tint);padding:.1em .35em;border-radius:5px}
pre{background:var(--tint);padding:.9rem 1rem;border-radius:9px;overflow-x:auto;margin:.7rem 0}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:.9rem;margin:1.2rem 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:14px;box-shadow:var(--shadow);padding:1rem 1.15rem}
section .card{background:var(--tint);border-color:transparent;box-shadow:none}
.card .label{color:var(--soft);font-size:.86rem}
.card .value{font-size:1.75rem;font-weight:650;line-height:1.25;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.card .value small{font-size:.95rem;font-weight:500;color:var(--soft);margin-left:.25rem;letter-spacing:0}
.card .hint{color:var(--soft);font-size:.86rem}
.scroll{overflow-x:auto;margin:.8rem 0}
table{border-collapse:collapse;min-width:50%;font-size:.95rem;font-variant-numeric:tabular-nums}
caption{caption-side:bottom;text-align:left;color:var(--soft);font-size:.88rem;padding-top:.5rem}
th,td{padding:.42rem .8rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600;color:var(--soft);font-size:.87rem;vertical-align:bottom}
th.text,td.text{text-align:left}
tbody tr:hover td{background:var(--tint)}
tr.reference td{color:var(--soft);font-style:italic}
td.best,tbody tr:hover td.best{background:var(--best);color:var(--best-ink);font-weight:650}
td .pm{color:var(--soft);font-size:.86em;font-weight:400;margin-left:.3em}
td.best .pm{color:inherit;opacity:.75}
.arrow{color:var(--accent);font-weight:400}
figure{margin:1rem 0}
figure .scroll{margin:0}
figure svg{display:block;max-width:max(100%,640px);height:auto}
figure svg.plot{max-width:100%}
@media(max-width:500px){figure svg.plot{font-size:14px}}
figcaption{color:var(--soft);font-size:.9rem;margin-top:.45rem;max-width:46rem}
.strip .pick{display:flex;flex-wrap:wrap;gap:.5rem 1.3rem;align-items:center;color:var(--soft);font-size:.92rem}
.strip label{display:inline-flex;align-items:center;gap:.4rem}
.strip select,.strip input{font:inherit;accent-color:var(--accent)}
.strip select{color:var(--ink);background:var(--card);border:1px solid var(--line);border-radius:7px;padding:.2rem .4rem}
.strip .cells{display:grid;grid-template-columns:repeat(auto-fit,minmax(62px,1fr));gap:.55rem .35rem;margin:.7rem 0}
.strip .cell i{display:block;aspect-ratio:1;margin-bottom:3px;background:var(--sheet) 0 0/var(--size);
image-rendering:pixelated}
.strip .cell i:nth-child(3){background-image:var(--sheet),var(--sheet);background-blend-mode:difference}
.strip .cell span{display:block;color:var(--soft);font-size:.8rem;line-height:1.25;text-align:center}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:0 1.6rem;align-items:start}
.note{border-left:3px solid var(--accent);background:var(--tint);border-radius:0 9px 9px 0;padding:.65rem 1rem;
margin:.9rem 0;max-width:48rem}
details{border:1px solid var(--line);border-radius:9px;margin:.8rem 0;padding:0 1rem}
summary{cursor:pointer;padding:.55rem 0;font-weight:600;color:var(--soft)}
details[open] summary{border-bottom:1px solid var(--line);margin-bottom:.6rem}
dl{display:grid;grid-template-columns:minmax(9rem,max-content) 1fr;gap:.25rem 1.4rem;margin:.6rem 0 .9rem;font-size:.93rem}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
footer{max-width:1180px;margin:0 auto;padding:0 1.25rem 2.5rem;color:var(--soft);font-size:.88rem}
@media(max-width:600px){section{padding:1.1rem 1rem;border-radius:10px}header{padding:1.8rem 0 1rem}h1{font-size:1.6rem}
dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.45rem}}
@media print{nav{display:none}section{break-inside:avoid;box-shadow:none}}
)css";

}  // namespace hypersd::report::detail
