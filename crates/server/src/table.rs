/// Lines of a table for people: columns are as wide as their widest cell, numbers stand to the right.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let numeric: Vec<bool> = (0..head.len())
        .map(|column| {
            let mut cells = rows.iter().filter_map(|row| row.get(column)).peekable();
            // What is not known of a number is a dash.
            cells.peek().is_some() && cells.all(|cell| cell == "-" || cell.parse::<i64>().is_ok())
        })
        .collect();
    let line = |cells: &[String]| {
        let cells = cells.iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            if numeric[column] {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let head: Vec<String> = head.iter().map(|name| name.to_uppercase()).collect();
    std::iter::once(line(&head))
        .chain(rows.iter().map(|row| line(row)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["a".to_owned(), "5".to_owned()],
            vec!["longer".to_owned(), "10".to_owned()],
        ];
        assert_eq!(
            table(&["name", "n"], &rows),
            "NAME     N\na        5\nlonger  10\n"
        );
        assert_eq!(table(&["name"], &[]), "NAME\n");
    }
}
