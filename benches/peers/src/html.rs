//! The same as a page that needs nothing else: tables and charts.

use std::fmt::Write as _;

use crate::engine::OWN;
use crate::report::{Table, heading, name, notes, table};
use crate::results::{Cell, Results, short};
use crate::workloads::{Headline, WORKLOADS, Workload};

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2430;--dim:#5b6675;--line:#d5dae1;--paper:#fff;--own:#0b6e4f;
--peer:#8fa3b8;--weak:#d9a25f;--limit:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--dim:#9aa5b3;--line:#353d48;--paper:#14181d;
--own:#3fbf8f;--peer:#66798e;--weak:#b98444;--limit:#ff8a80}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:2rem auto;
max-width:70rem;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2.5rem;border-top:1px solid var(--line);
padding-top:1rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:13px;
font-variant-numeric:tabular-nums}
th,td{padding:.2rem .6rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--dim);font-weight:500}th:first-child,td:first-child{text-align:left}
tr.own td{font-weight:600;color:var(--own)}
svg{display:block;margin:1rem 0;max-width:100%;height:auto}svg text{fill:var(--ink);font-size:12px}
svg text.dim{fill:var(--dim)}
details{color:var(--dim);font-size:13px}summary{cursor:pointer}li{margin:.15rem 0}
.charts{display:flex;flex-wrap:wrap;gap:1rem 2rem}";

/// The page.
pub(crate) fn page(results: &Results) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>afterimage beside its peers</title><style>{STYLE}</style></head><body>\n\
         <h1>afterimage beside its peers</h1>\n<p>{}</p>\n\
         <p>A star marks an engine whose buffered mode promises less; its bars have another \
         colour. A red line is what the machine can do at best. \u{201c}afterimage x\u{201d} above \
         1 means that afterimage is that many times better.</p>\n",
        escape(&heading(results))
    );
    for workload in &WORKLOADS {
        let Some(table) = table(results, workload) else { continue };
        let _ = writeln!(page, "<h2 id=\"{}\">{}</h2>", workload.id, escape(workload.title));
        let cells = results.of(workload);
        page.push_str("<div class=\"charts\">");
        for headline in workload.headlines {
            page.push_str(&bars(results, workload, headline, &cells));
        }
        if workload.id == "growth" {
            page.push_str(&growth(cells[0]));
        }
        page.push_str("</div>\n");
        page.push_str(&rows(&table));
        let notes = notes(results, workload);
        if !notes.is_empty() {
            page.push_str("<details><summary>settings, and what they survive</summary><ul>");
            for line in notes {
                let _ = write!(page, "<li>{}</li>", escape(&line));
            }
            page.push_str("</ul></details>\n");
        }
    }
    page.push_str("</body></html>\n");
    page
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn rows(table: &Table) -> String {
    let mut text = "<div class=\"scroll\"><table><tr>".to_owned();
    for cell in &table.head {
        let _ = write!(text, "<th>{}</th>", escape(cell));
    }
    text.push_str("</tr>\n");
    for row in &table.rows {
        let own = row.first().is_some_and(|name| name.starts_with(OWN));
        text.push_str(if own { "<tr class=\"own\">" } else { "<tr>" });
        for cell in row {
            let _ = write!(text, "<td>{}</td>", escape(cell));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</table></div>\n");
    text
}

const BAR_HEIGHT: usize = 22;
const LABEL_WIDTH: f64 = 170.0;
const BARS_WIDTH: f64 = 260.0;
const CHART_WIDTH: f64 = 500.0;

/// One bar an engine, the longest for the largest number; a line for the limit if it is near.
fn bars(results: &Results, workload: &Workload, headline: &Headline, cells: &[&Cell]) -> String {
    let of = |cell: &&Cell| cell.median(headline.column);
    let Some(largest) = cells.iter().filter_map(of).reduce(f64::max) else {
        return String::new();
    };
    let limit = results.limit(headline.limit).filter(|limit| *limit < largest * 4.0);
    let scale = BARS_WIDTH / limit.unwrap_or(largest).max(largest).max(f64::MIN_POSITIVE);
    let height = (cells.len() + 1) * BAR_HEIGHT + 10;
    let direction = if headline.less { "less is better" } else { "more is better" };
    let mut svg = format!(
        "<svg role=\"img\" width=\"{CHART_WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {CHART_WIDTH} {height}\"><text x=\"0\" y=\"14\">{} \
         <tspan class=\"dim\" fill=\"var(--dim)\">({direction})</tspan></text>",
        escape(headline.column)
    );
    for (index, cell) in cells.iter().enumerate() {
        let label = name(cell, workload);
        let value = of(cell);
        let colour = match (cell.engine.starts_with(OWN), label.ends_with('*')) {
            (true, _) => "--own",
            (false, true) => "--weak",
            (false, false) => "--peer",
        };
        let (top, width) = ((index + 1) * BAR_HEIGHT, value.unwrap_or(0.0) * scale);
        let (text, end) = (top + 15, LABEL_WIDTH + width.max(1.0));
        let number = value.map_or_else(|| "-".to_owned(), short);
        let _ = write!(
            svg,
            "<text x=\"0\" y=\"{text}\">{}</text><rect x=\"{LABEL_WIDTH}\" y=\"{}\" \
             width=\"{:.1}\" height=\"{}\" fill=\"var({colour})\"/><text class=\"dim\" \
             x=\"{:.1}\" y=\"{text}\">{number}</text>",
            escape(&label),
            top + 2,
            width.max(1.0),
            BAR_HEIGHT - 5,
            end + 6.0
        );
    }
    if let Some(limit) = limit {
        let x = LABEL_WIDTH + limit * scale;
        let _ = write!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{BAR_HEIGHT}\" y2=\"{height}\" \
             stroke=\"var(--limit)\" stroke-width=\"1.5\" stroke-dasharray=\"4 3\">\
             <title>limit: {} {}</title></line>",
            short(limit),
            escape(headline.limit)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

const PLOT_LEFT: f64 = 60.0;
const PLOT_TOP: f64 = 30.0;
const PLOT_WIDTH: f64 = 460.0;
const PLOT_HEIGHT: f64 = 260.0;
/// One for each operation.
const LINES: [&str; 5] = ["#0b6e4f", "#3b6fb6", "#b3261e", "#b8860b", "#7a4fa3"];

/// Operations over the number of records; both axes logarithmic.
fn growth(cell: &Cell) -> String {
    let mut lines: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for column in &cell.columns {
        let Some((size, operation)) = column.name.split_once(' ') else { continue };
        let point = (records(size).log10(), column.median.max(1e-3).log10());
        match lines.iter_mut().find(|(name, _)| *name == operation) {
            Some((_, points)) => points.push(point),
            None => lines.push((operation, vec![point])),
        }
    }
    let all = || lines.iter().flat_map(|(_, points)| points);
    let span = |of: fn(&(f64, f64)) -> f64| {
        let least = all().map(of).fold(f64::INFINITY, f64::min).floor();
        let most = all().map(of).fold(f64::NEG_INFINITY, f64::max).ceil();
        (least, most.max(least + 1.0))
    };
    if all().next().is_none() {
        return String::new();
    }
    let ((x_least, x_most), (y_least, y_most)) = (span(|p| p.0), span(|p| p.1));
    let place = |(x, y): (f64, f64)| {
        (
            PLOT_LEFT + (x - x_least) / (x_most - x_least) * PLOT_WIDTH,
            PLOT_TOP + (y_most - y) / (y_most - y_least) * PLOT_HEIGHT,
        )
    };
    let mut svg = "<svg role=\"img\" width=\"720\" height=\"340\" viewBox=\"0 0 720 340\">\
                   <text x=\"0\" y=\"14\">time of an operation by number of records, both \
                   logarithmic</text>"
        .to_owned();
    svg.push_str(&grid((x_least, x_most), (y_least, y_most), &place));
    for (index, ((operation, points), colour)) in lines.iter().zip(LINES).enumerate() {
        let path: Vec<String> = points
            .iter()
            .map(|point| place(*point))
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let y = PLOT_TOP + 18.0 * index as f64 + 10.0;
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <rect x=\"545\" y=\"{:.0}\" width=\"12\" height=\"4\" fill=\"{colour}\"/>\
             <text x=\"565\" y=\"{y:.0}\">{}</text>",
            path.join(" "),
            y - 6.0,
            escape(operation)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn grid(
    (x_least, x_most): (f64, f64),
    (y_least, y_most): (f64, f64),
    place: &dyn Fn((f64, f64)) -> (f64, f64),
) -> String {
    let mut svg = String::new();
    let steps =
        |least: f64, most: f64| (0..=(most - least) as u32).map(move |i| least + f64::from(i));
    for exponent in steps(y_least, y_most) {
        let (_, y) = place((x_least, exponent));
        let (end, text) = (PLOT_LEFT + PLOT_WIDTH, tick(exponent));
        let _ = write!(
            svg,
            "<line x1=\"{PLOT_LEFT}\" x2=\"{end}\" y1=\"{y:.1}\" y2=\"{y:.1}\" \
             stroke=\"var(--line)\"/><text class=\"dim\" x=\"{}\" y=\"{:.1}\" \
             text-anchor=\"end\">{text}</text>",
            PLOT_LEFT - 6.0,
            y + 4.0
        );
    }
    for exponent in steps(x_least, x_most) {
        let (x, _) = place((exponent, y_least));
        let _ = write!(
            svg,
            "<text class=\"dim\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            PLOT_TOP + PLOT_HEIGHT + 18.0,
            tick(exponent)
        );
    }
    svg
}

fn tick(exponent: f64) -> String {
    let value = 10_f64.powf(exponent);
    if (0.0..4.0).contains(&exponent) { format!("{value:.0}") } else { short(value) }
}

/// `10k` as a number.
fn records(size: &str) -> f64 {
    let (digits, factor) = match (size.strip_suffix('k'), size.strip_suffix('M')) {
        (Some(digits), _) => (digits, 1e3),
        (None, Some(digits)) => (digits, 1e6),
        (None, None) => (size, 1.0),
    };
    digits.parse::<f64>().unwrap_or(1.0) * factor
}
