//! The text of an expression → its tree. The language is described in `docs/containers.md`.

use std::fmt;

/// Deeper nesting is refused: rules are also written by hand.
const MAX_DEPTH: usize = 40;

/// An expression as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Tree {
    Number(u64),
    /// A name on its own: one of `let`, a variable, or a member.
    Name(String),
    /// A name that types have, in quotes.
    Text(String),
    /// `.name` (also through bases and anonymous members).
    Member(Box<Tree>, String),
    /// `..name`: the nearest member of this name, however deep.
    Nearest(Box<Tree>, String),
    /// `*place`.
    Target(Box<Tree>),
    /// `&place`.
    Address(Box<Tree>),
    /// `place[number]`.
    Index(Box<Tree>, Box<Tree>),
    /// `name(arguments)`.
    Call(String, Vec<Tree>),
    Binary(Op, Box<Tree>, Box<Tree>),
    /// `condition ? a : b`.
    Choose(Box<[Tree; 3]>),
}

/// What two numbers become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Op {
    Or,
    And,
    BitOr,
    BitXor,
    BitAnd,
    Equal,
    Differ,
    Less,
    LessEqual,
    More,
    MoreEqual,
    ShiftLeft,
    ShiftRight,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// Operators by their text, how tightly they bind, and which text starts none of the others before it.
const OPERATORS: [(&str, u8, Op); 18] = [
    ("||", 1, Op::Or),
    ("&&", 2, Op::And),
    ("==", 6, Op::Equal),
    ("!=", 6, Op::Differ),
    ("<<", 8, Op::ShiftLeft),
    (">>", 8, Op::ShiftRight),
    ("<=", 7, Op::LessEqual),
    (">=", 7, Op::MoreEqual),
    ("<", 7, Op::Less),
    (">", 7, Op::More),
    ("|", 3, Op::BitOr),
    ("^", 4, Op::BitXor),
    ("&", 5, Op::BitAnd),
    ("+", 9, Op::Add),
    ("-", 9, Op::Subtract),
    ("*", 10, Op::Multiply),
    ("/", 10, Op::Divide),
    ("%", 10, Op::Remainder),
];

/// Why a text is no expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SyntaxError {
    at: usize,
    what: &'static str,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at character {}", self.what, self.at + 1)
    }
}

/// Reads all of `text`.
pub(super) fn parse(text: &str) -> Result<Tree, SyntaxError> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let tree = parser.choice()?;
    match parser.rest() {
        "" => Ok(tree),
        _ => Err(parser.error("an operator was expected")),
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    /// What is left, without leading blanks.
    fn rest(&mut self) -> &'t str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn error(&self, what: &'static str) -> SyntaxError {
        SyntaxError { at: self.at, what }
    }

    fn takes(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn needs(&mut self, token: &str, what: &'static str) -> Result<(), SyntaxError> {
        if self.takes(token) { Ok(()) } else { Err(self.error(what)) }
    }

    fn choice(&mut self) -> Result<Tree, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        let condition = self.binary(0)?;
        let tree = if self.takes("?") {
            let then = self.choice()?;
            self.needs(":", "`:` was expected")?;
            Tree::Choose(Box::new([condition, then, self.choice()?]))
        } else {
            condition
        };
        self.depth -= 1;
        Ok(tree)
    }

    fn binary(&mut self, above: u8) -> Result<Tree, SyntaxError> {
        let mut left = self.unary()?;
        loop {
            let rest = self.rest();
            let found = OPERATORS.iter().find(|(text, ..)| rest.starts_with(text));
            let Some(&(text, binds, op)) = found.filter(|(_, binds, _)| *binds > above) else { return Ok(left) };
            self.at += text.len();
            let right = self.binary(binds)?;
            left = Tree::Binary(op, Box::new(left), Box::new(right));
        }
    }

    fn unary(&mut self) -> Result<Tree, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        let against = |op, number, tree| Tree::Binary(op, Box::new(Tree::Number(number)), Box::new(tree));
        let tree = if self.takes("!") {
            against(Op::Equal, 0, self.unary()?)
        } else if self.takes("-") {
            against(Op::Subtract, 0, self.unary()?)
        } else if self.takes("~") {
            against(Op::BitXor, u64::MAX, self.unary()?)
        } else if self.takes("*") {
            Tree::Target(Box::new(self.unary()?))
        } else if self.takes("&") {
            Tree::Address(Box::new(self.unary()?))
        } else {
            self.postfix()?
        };
        self.depth -= 1;
        Ok(tree)
    }

    fn postfix(&mut self) -> Result<Tree, SyntaxError> {
        let mut tree = self.primary()?;
        loop {
            if self.takes("..") {
                tree = Tree::Nearest(Box::new(tree), self.name()?.to_owned());
            } else if self.takes(".") {
                tree = Tree::Member(Box::new(tree), self.name()?.to_owned());
            } else if self.takes("->") {
                let target = Box::new(Tree::Target(Box::new(tree)));
                let nearest = self.takes("..");
                let name = self.name()?.to_owned();
                tree = if nearest { Tree::Nearest(target, name) } else { Tree::Member(target, name) };
            } else if self.takes("[") {
                let index = Box::new(self.choice()?);
                self.needs("]", "`]` was expected")?;
                tree = Tree::Index(Box::new(tree), index);
            } else {
                return Ok(tree);
            }
        }
    }

    fn primary(&mut self) -> Result<Tree, SyntaxError> {
        let rest = self.rest();
        if self.takes("(") {
            let tree = self.choice()?;
            self.needs(")", "`)` was expected")?;
            return Ok(tree);
        }
        if let Some(quoted) = rest.strip_prefix('\'') {
            let end = quoted.find('\'').ok_or_else(|| self.error("the quote does not end"))?;
            self.at += end + 2;
            return Ok(Tree::Text(quoted[..end].to_owned()));
        }
        if rest.starts_with("..") {
            return Ok(Tree::Name("self".to_owned()));
        }
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            return self.number();
        }
        let name = self.name()?.to_owned();
        if !self.takes("(") {
            return Ok(Tree::Name(name));
        }
        let mut arguments = Vec::new();
        while !self.takes(")") {
            if !arguments.is_empty() {
                self.needs(",", "`,` or `)` was expected")?;
            }
            arguments.push(self.choice()?);
        }
        Ok(Tree::Call(name, arguments))
    }

    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '$').unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn number(&mut self) -> Result<Tree, SyntaxError> {
        let word = self.word();
        let number = match word.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => word.parse(),
        };
        number.map(Tree::Number).map_err(|_| self.error("the number before is damaged"))
    }

    fn name(&mut self) -> Result<&'t str, SyntaxError> {
        match self.word() {
            "" => Err(self.error("a name was expected")),
            word => Ok(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Tree {
        Tree::Name(text.to_owned())
    }

    fn binary(op: Op, a: Tree, b: Tree) -> Tree {
        Tree::Binary(op, Box::new(a), Box::new(b))
    }

    #[test]
    fn operators_bind_as_in_c() {
        let product = binary(Op::Multiply, name("b"), name("c"));
        assert_eq!(parse("a + b * c"), Ok(binary(Op::Add, name("a"), product)));
        let left = binary(Op::Subtract, name("a"), name("b"));
        assert_eq!(parse("a-b-c"), Ok(binary(Op::Subtract, left, name("c"))));
    }

    #[test]
    fn paths_go_through_members_pointers_and_indices() {
        let member = Tree::Member(Box::new(name("_M_impl")), "_M_start".to_owned());
        assert_eq!(parse("_M_impl._M_start"), Ok(member.clone()));
        let target = Tree::Target(Box::new(member));
        assert_eq!(parse("_M_impl._M_start->next"), Ok(Tree::Member(Box::new(target), "next".to_owned())));
        assert_eq!(parse("..size"), Ok(Tree::Nearest(Box::new(name("self")), "size".to_owned())));
        assert!(matches!(parse("a[1 ? 2 : x.y]"), Ok(Tree::Index(..))));
    }

    #[test]
    fn a_broken_text_says_where() {
        for (text, what) in [
            ("", "a name was expected at character 1"),
            ("a +", "a name was expected at character 4"),
            ("(a", "`)` was expected at character 3"),
            ("a b", "an operator was expected at character 3"),
            ("0xzz", "the number before is damaged at character 5"),
            ("'x", "the quote does not end at character 1"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), what, "{text}");
        }
        assert!(parse(&"(".repeat(100_000)).unwrap_err().to_string().starts_with("nested too deeply"));
        assert!(parse(&"-".repeat(100_000)).unwrap_err().to_string().starts_with("nested too deeply"));
    }
}
