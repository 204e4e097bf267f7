//! Linker names turned into what programmers wrote, and C++ type names into what they would have written.
//!
//! Itanium C++ ABI (5.1, "External Names") by `cpp_demangle`, Rust's two schemes by `rustc-demangle`.

use std::borrow::Cow;

/// The name as its language writes it; unchanged when it is no mangled name.
pub fn demangle(name: &str) -> Cow<'_, str> {
    if !name.starts_with('_') {
        return Cow::Borrowed(name);
    }
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return Cow::Owned(format!("{rust:#}")); // without the hash
    }
    if !name.starts_with("_Z") && !name.starts_with("__Z") {
        return Cow::Borrowed(name);
    }
    let cpp = cpp_demangle::Symbol::new(name).ok().and_then(|symbol| symbol.demangle().ok());
    cpp.map_or(Cow::Borrowed(name), |name| Cow::Owned(special_name(name)))
}

/// `cpp_demangle` writes `{vtable(X)}` where everybody else writes `vtable for X`.
fn special_name(name: String) -> String {
    let kinds =
        [("{vtable(", "vtable"), ("{vtt(", "VTT"), ("{typeinfo(", "typeinfo"), ("{typeinfo name(", "typeinfo name")];
    let inner = kinds.iter().find_map(|(head, kind)| Some((kind, name.strip_prefix(head)?.strip_suffix(")}")?)));
    inner.map(|(kind, of)| format!("{kind} for {of}")).unwrap_or(name)
}

/// A demangled C++ name for people: `std::string` for the long form, default template arguments of the standard
/// containers and inline namespaces dropped. Names of other languages stay as they are.
pub fn shorten(name: &str) -> Cow<'_, str> {
    if !name.contains("std::") || !name.contains('<') && !name.contains("__cxx11") {
        return Cow::Borrowed(name);
    }
    let mut parser = Parser { rest: name, depth: 0 };
    match parser.sequence() {
        Some(short) if parser.rest.is_empty() => Cow::Owned(short),
        _ => Cow::Borrowed(name),
    }
}

/// Deeper nesting is left as it is: a bound against the stack.
const MAX_DEPTH: usize = 64;

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    /// Text and templates up to an unmatched `>`, a `,` of the level above, or the end.
    fn sequence(&mut self) -> Option<String> {
        let mut out = String::new();
        let mut parens = 0usize;
        loop {
            let end = self.rest.find(['<', '>', ',', '(', ')']).unwrap_or(self.rest.len());
            let (text, rest) = self.rest.split_at(end);
            out.push_str(text);
            self.rest = rest;
            let Some(sign) = rest.chars().next() else { break };
            let is_template = sign == '<' && starts_template(&out);
            match sign {
                '<' if is_template => self.template(&mut out)?,
                ',' if parens == 0 && self.depth != 0 => break,
                '>' if self.depth != 0 && parens == 0 && !out.ends_with('-') && !out.ends_with("operator") => break,
                _ => {
                    match sign {
                        '(' => parens += 1,
                        ')' => parens = parens.saturating_sub(1),
                        _ => {}
                    }
                    out.push(sign);
                    self.rest = &self.rest[1..];
                }
            }
        }
        Some(drop_inline_namespaces(&out))
    }

    /// `<arguments>` behind the name that `out` ends with; rewrites both.
    fn template(&mut self, out: &mut String) -> Option<()> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let mut arguments = Vec::new();
        loop {
            self.rest = &self.rest[1..]; // the `<` or `,`
            arguments.push(self.sequence()?.trim().to_owned());
            match self.rest.as_bytes().first()? {
                b',' => {}
                b'>' => break,
                _ => return None,
            }
        }
        self.rest = &self.rest[1..];
        self.depth -= 1;
        let name_at = out
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
            .map_or(0, |at| at + out[at..].chars().next().map_or(1, char::len_utf8));
        let name = drop_inline_namespaces(&out[name_at..]);
        out.truncate(name_at);
        out.push_str(&written(&name, arguments));
        Some(())
    }
}

/// Whether a `<` behind this text opens template arguments, and is not `operator<`, `operator<<` or a comparison.
fn starts_template(before: &str) -> bool {
    let name = before.trim_end_matches('<');
    !name.ends_with("operator") && before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// `std::__cxx11::`, `std::__1::` (libc++), `std::__ndk1::` (Android) are `std::`.
fn drop_inline_namespaces(name: &str) -> String {
    name.replace("std::__cxx11::", "std::").replace("std::__1::", "std::").replace("std::__ndk1::", "std::")
}

/// A template with its arguments as one would write it.
fn written(name: &str, mut arguments: Vec<String>) -> String {
    if name.starts_with("std::") {
        while arguments.len() > 1 && is_default(name, &arguments) {
            arguments.pop();
        }
        let strings = [
            ("char", "string"),
            ("wchar_t", "wstring"),
            ("char8_t", "u8string"),
            ("char16_t", "u16string"),
            ("char32_t", "u32string"),
        ];
        let character = arguments.first().filter(|_| arguments.len() == 1);
        let known = strings.iter().find(|(of, _)| character.is_some_and(|character| character == of));
        match (name, known) {
            ("std::basic_string", Some((_, alias))) => return format!("std::{alias}"),
            ("std::basic_string_view", Some((_, alias))) => return format!("std::{alias}_view"),
            _ => {}
        }
    }
    format!("{name}<{}>", arguments.join(", "))
}

/// Whether the last argument is what the template's declaration has as its default.
fn is_default(name: &str, arguments: &[String]) -> bool {
    let [first, .., last] = arguments else { return false };
    let of = |template: &str| last.strip_prefix(template)?.strip_prefix('<')?.strip_suffix('>');
    let of_first = |template: &str| of(template) == Some(first);
    let adapter = matches!(name, "std::queue" | "std::stack") && of_first("std::deque")
        || name == "std::priority_queue" && of_first("std::vector");
    let has_key = ["std::char_traits", "std::less", "std::hash", "std::equal_to", "std::default_delete"];
    adapter
        || has_key.iter().any(|template| of_first(template))
        || of("std::allocator").is_some_and(|element| {
            let is_map = name.ends_with("map");
            let value = arguments.get(1).map_or("", String::as_str);
            // Demanglers write the qualifier behind, debug information in front.
            let pairs = [format!("std::pair<{first} const, {value}>"), format!("std::pair<const {first}, {value}>")];
            if is_map { pairs.iter().any(|pair| element == pair) } else { element == first }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_and_none() {
        assert_eq!(demangle("_ZN3app6ServerC1Ev"), "app::Server::Server()");
        assert_eq!(demangle("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE"), "core::fmt::Formatter::pad");
        assert_eq!(demangle("_RNvCs1234_7mycrate3foo"), "mycrate::foo");
        assert_eq!(demangle("main_arena"), "main_arena");
        assert_eq!(demangle("_Znot"), "_Znot");
        assert_eq!(demangle("_ZTV6Server"), "vtable for Server");
        assert_eq!(demangle("_ZTI6Server"), "typeinfo for Server");
    }

    #[test]
    fn strings() {
        let long = "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >";
        assert_eq!(shorten(long), "std::string");
        assert_eq!(shorten(&format!("Box<{long}>")), "Box<std::string>");
        let wide = "std::basic_string<wchar_t, std::char_traits<wchar_t>, std::allocator<wchar_t> > const&";
        assert_eq!(shorten(wide), "std::wstring const&");
        assert_eq!(shorten("std::basic_string_view<char, std::char_traits<char>>"), "std::string_view");
        assert_eq!(
            shorten("std::basic_string<char, my_traits<char>, std::allocator<char> >"),
            "std::basic_string<char, my_traits<char>>"
        );
    }

    #[test]
    fn containers() {
        let cases = [
            ("std::vector<int, std::allocator<int> >", "std::vector<int>"),
            ("std::vector<int, my::allocator<int> >", "std::vector<int, my::allocator<int>>"),
            (
                "std::map<int, std::vector<Foo*, std::allocator<Foo*> >, std::less<int>, std::allocator<std::pair<int \
                 const, std::vector<Foo*, std::allocator<Foo*> > > > >",
                "std::map<int, std::vector<Foo*>>",
            ),
            (
                "std::__1::unordered_set<long, std::__1::hash<long>, std::__1::equal_to<long>, std::__1::allocator<long>>",
                "std::unordered_set<long>",
            ),
            ("std::unique_ptr<Foo, std::default_delete<Foo> >", "std::unique_ptr<Foo>"),
            (
                "std::map<std::string, int, std::less<std::string>, std::allocator<std::pair<const std::string, int> > >",
                "std::map<std::string, int>",
            ),
            ("std::queue<int, std::deque<int, std::allocator<int> > >", "std::queue<int>"),
            ("std::set<int, std::greater<int>, std::allocator<int> >", "std::set<int, std::greater<int>>"),
        ];
        for (long, short) in cases {
            assert_eq!(shorten(long), short);
        }
    }

    #[test]
    fn functions_and_operators_survive() {
        let cases = [
            "std::ostream& operator<< <char>(std::ostream&, char)",
            "bool std::operator< <int>(int, int)",
            "std::function<void (int, char)>",
            "app::call(std::vector<int>) const",
            "std::array<int, 3ul>",
            "void f<(std::less<int>)0, 1>()",
            "std::broken<<",
            "std::x>",
        ];
        for case in cases {
            assert_eq!(shorten(case), case);
        }
    }

    #[test]
    fn endless_nesting_stays() {
        let deep = "std::a<".repeat(10_000);
        assert_eq!(shorten(&deep), deep);
    }
}
