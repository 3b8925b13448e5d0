//! The text that Prometheus reads, version 0.0.4 of its format.

use std::fmt::{Display, Write};

/// What becomes of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, and begins at 0 again when what counts it does.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// Figures of one name, which differ in the values of `N` labels.
#[derive(Debug, Clone, Copy)]
pub struct Family<const N: usize> {
    name: &'static str,
    kind: Kind,
    labels: [&'static str; N],
    help: &'static str,
}

impl<const N: usize> Family<N> {
    /// A counter; its name ends with `_total`.
    #[must_use]
    pub const fn counter(
        name: &'static str,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Counter, labels, help }
    }

    /// A gauge.
    #[must_use]
    pub const fn gauge(name: &'static str, labels: [&'static str; N], help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, labels, help }
    }
}

/// Figures as text.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// Adds a family, and of its figures those that are known now: values of its labels, and the number.
    /// A family without any is announced all the same.
    pub fn family<const N: usize, L: AsRef<str>, V: Display>(
        &mut self,
        family: &Family<N>,
        figures: impl IntoIterator<Item = ([L; N], V)>,
    ) {
        let Family { name, kind, labels, help } = family;
        self.text.push_str(&format!("# HELP {name} "));
        push_escaped(&mut self.text, help, false);
        self.text.push_str(&format!("\n# TYPE {name} {}\n", kind.name()));
        for (values, number) in figures {
            self.text.push_str(name);
            for (position, (label, value)) in labels.iter().zip(&values).enumerate() {
                self.text.push(if position == 0 { '{' } else { ',' });
                self.text.push_str(label);
                self.text.push_str("=\"");
                push_escaped(&mut self.text, value.as_ref(), true);
                self.text.push('"');
            }
            if N > 0 {
                self.text.push('}');
            }
            // A string takes whatever is written.
            writeln!(self.text, " {number}").unwrap_or_default();
        }
    }

    /// Adds a family of one figure.
    pub fn single(&mut self, family: &Family<0>, number: impl Display) {
        self.known(family, Some(number));
    }

    /// Adds a family of one figure, where that is known now.
    pub fn known(&mut self, family: &Family<0>, number: Option<impl Display>) {
        let labels: [&str; 0] = [];
        self.family(family, number.map(|number| (labels, number)));
    }

    /// The text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

/// Help has backslashes and ends of lines escaped, the value of a label quotes too.
fn push_escaped(text: &mut String, value: &str, in_quotes: bool) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if in_quotes => text.push_str("\\\""),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_that_of_the_format() {
        const PLAIN: Family<0> = Family::gauge("x_bytes", [], "Some \"bytes\".");
        const UNKNOWN: Family<0> = Family::gauge("y_seconds", [], "A\nB\\");
        const BY: Family<2> = Family::counter("z_total", ["a", "b"], "By both.");
        let mut exposition = Exposition::default();
        exposition.single(&PLAIN, u64::MAX);
        exposition.known(&UNKNOWN, None::<f64>);
        exposition.family(&BY, [(["1", "q\"\\\n"], 0.25), (["2", ""], 1e21)]);
        let expected = "\
# HELP x_bytes Some \"bytes\".
# TYPE x_bytes gauge
x_bytes 18446744073709551615
# HELP y_seconds A\\nB\\\\
# TYPE y_seconds gauge
# HELP z_total By both.
# TYPE z_total counter
z_total{a=\"1\",b=\"q\\\"\\\\\\n\"} 0.25
z_total{a=\"2\",b=\"\"} 1000000000000000000000
";
        assert_eq!(exposition.into_text(), expected);
    }
}
