//! Tables for people: lines of `+`, `-` and `|`, the title written over the top border.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{Align, Table, cell_text};

/// The table, with a rule after every row when any cell has several lines.
pub fn pretty(table: &Table) -> String {
    let rows: Vec<Vec<Vec<String>>> = table.rows.iter().map(|row| lines_of(row)).collect();
    let widths: Vec<usize> = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = rows.iter().flat_map(|row| &row[index]);
            let widest = cells.map(|line| line.width()).max().unwrap_or(0);
            widest.max(column.title.width())
        })
        .collect();
    let aligns: Vec<Align> = table.columns.iter().map(|column| column.align).collect();
    let rule = rule(&widths);
    let titles = table.columns.iter().map(|column| column.title.as_str());
    let ruled = rows.iter().flatten().any(|cell| cell.len() > 1);

    let mut out = vec![match &table.title {
        Some(title) => titled(&rule, title),
        None => rule.clone(),
    }];
    out.push(line(titles, &widths, &aligns));
    out.push(rule.clone());
    for row in &rows {
        let height = row.iter().map(Vec::len).max().unwrap_or(1);
        for level in 0..height {
            let cells = row
                .iter()
                .map(|cell| cell.get(level).map_or("", String::as_str));
            out.push(line(cells, &widths, &aligns));
        }
        if ruled {
            out.push(rule.clone());
        }
    }
    if !ruled {
        out.push(rule);
    }
    out.join("\n") + "\n"
}

fn lines_of(row: &[serde_json::Value]) -> Vec<Vec<String>> {
    row.iter()
        .map(|cell| cell_text(cell).split('\n').map(expand_tabs).collect())
        .collect()
}

/// Each tab as blanks up to the next multiple of eight: a terminal would count from the edge of
/// the screen, and the lines of the box would not meet.
fn expand_tabs(line: &str) -> String {
    const STOP: usize = 8;
    let mut out = String::with_capacity(line.len());
    for (index, piece) in line.split('\t').enumerate() {
        if index > 0 {
            out.push_str(&" ".repeat(STOP - out.width() % STOP));
        }
        out.push_str(piece);
    }
    out
}

fn rule(widths: &[usize]) -> String {
    let parts: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    format!("+{}+", parts.join("+"))
}

/// The border with the title over it, from the second character on.
fn titled(rule: &str, title: &str) -> String {
    let room = rule.len().saturating_sub(2);
    let mut text = String::new();
    let mut used = 0;
    for letter in format!(" {title} ").chars() {
        let width = letter.width().unwrap_or(0);
        if used + width > room {
            break;
        }
        text.push(letter);
        used += width;
    }
    format!("{}{text}{}", &rule[..1], &rule[1 + used..])
}

fn line<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize], aligns: &[Align]) -> String {
    let mut out = String::from("|");
    for ((cell, width), align) in cells.zip(widths).zip(aligns) {
        let padding = " ".repeat(width.saturating_sub(cell.width()));
        out.push(' ');
        match align {
            Align::Left => out.extend([cell, &padding]),
            Align::Right => out.extend([padding.as_str(), cell]),
        }
        out.push_str(" |");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::Column;
    use super::*;
    use serde_json::json;

    fn table(title: Option<&str>, rows: Vec<Vec<serde_json::Value>>) -> String {
        pretty(&Table {
            title: title.map(str::to_owned),
            columns: vec![
                Column::new("A", Align::Left),
                Column::new("N", Align::Right),
            ],
            rows,
            ..Table::default()
        })
    }

    #[test]
    fn a_title_never_breaks_the_corner() {
        let text = table(Some("Cluster: something long"), vec![]);
        assert_eq!(
            text,
            "+ Clust+\n| A | N |\n+---+---+\n+---+---+\n".replace("+ Clust+", "+ Cluste+")
        );
    }

    #[test]
    fn tabs_become_blanks() {
        for (given, expected) in [
            ("y\tz", "y       z"),
            ("123456789\tz\t|", "123456789       z       |"),
            ("\t", "        "),
            ("数\tz", "数      z"),
            ("plain", "plain"),
        ] {
            assert_eq!(expand_tabs(given), expected);
        }
    }

    #[test]
    fn rows_with_several_lines_are_ruled() {
        let text = table(
            None,
            vec![vec![json!("x\nyy"), json!(1)], vec![json!("数"), json!(22)]],
        );
        let expected = "\
+----+----+
| A  |  N |
+----+----+
| x  |  1 |
| yy |    |
+----+----+
| 数 | 22 |
+----+----+
";
        assert_eq!(text, expected);
    }
}
