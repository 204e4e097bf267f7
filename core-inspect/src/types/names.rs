//! Demangled C++ names → names that fit a table row: the inner types of `std::shared_ptr` and
//! friends say nothing to the reader.

/// Class templates of the libraries' insides: prefix, and what stands before and after the first argument instead.
const INSIDES: &[(&str, &str, &str)] = &[
    ("std::_Sp_counted_ptr_inplace<", "std::make_shared<", ">"),
    ("std::__shared_ptr_emplace<", "std::make_shared<", ">"),
    ("std::_Sp_counted_ptr<", "std::shared_ptr<", "> control block"),
    ("std::_Sp_counted_deleter<", "std::shared_ptr<", "> control block"),
    ("std::__shared_ptr_pointer<", "std::shared_ptr<", "> control block"),
    ("boost::detail::sp_counted_impl_pd<", "boost::make_shared<", ">"),
    ("boost::detail::sp_counted_impl_p<", "boost::shared_ptr<", "> control block"),
    ("std::thread::_State_impl<", "std::thread of ", ""),
];

/// Wrappers around a thread's function, peeled off in turn.
const INVOKERS: &[&str] = &["std::thread::_Invoker<", "std::tuple<"];

/// The short form of a demangled type name.
pub(super) fn shorten(name: &str) -> String {
    let short = crate::debuginfo::shorten(name).into_owned();
    for &(prefix, before, after) in INSIDES {
        let Some(argument) = short.strip_prefix(prefix).and_then(first_argument) else { continue };
        // A pointer to the object is the argument of every control block.
        let argument = argument.strip_suffix('*').unwrap_or(argument);
        return format!("{before}{}{after}", peel(argument));
    }
    short
}

fn peel(argument: &str) -> &str {
    INVOKERS.iter().fold(argument, |rest, invoker| {
        rest.strip_prefix(invoker).and_then(|rest| rest.strip_suffix('>')).unwrap_or(rest)
    })
}

/// The first of the arguments that follow an opening bracket, up to its comma or the closing bracket.
fn first_argument(text: &str) -> Option<&str> {
    end_of_argument(text).map(|end| &text[..end])
}

/// Where the argument at the start of `text` ends: the first comma or closing bracket outside nested brackets.
fn end_of_argument(text: &str) -> Option<usize> {
    let (mut depth, mut before) = (0u32, ' ');
    for (at, letter) in text.char_indices() {
        match letter {
            '<' | '(' | '[' | '{' => depth += 1,
            ',' if depth == 0 => return Some(at),
            // The arrow of a trailing return type closes nothing.
            '>' if before == '-' => {}
            '>' | ')' | ']' | '}' => match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return Some(at),
            },
            _ => {}
        }
        before = letter;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn shared_pointers_read_as_the_program_wrote_them() {
        let cases = [
            (
                "std::_Sp_counted_ptr_inplace<Foo, std::allocator<void>, (__gnu_cxx::_Lock_policy)2>",
                "std::make_shared<Foo>",
            ),
            ("std::_Sp_counted_ptr<app::Foo*, (__gnu_cxx::_Lock_policy)2>", "std::shared_ptr<app::Foo> control block"),
            ("std::__1::__shared_ptr_emplace<Foo, std::__1::allocator<Foo> >", "std::make_shared<Foo>"),
            (
                "std::__1::__shared_ptr_pointer<Foo*, std::__1::default_delete<Foo>, std::__1::allocator<Foo> >",
                "std::shared_ptr<Foo> control block",
            ),
            (
                "std::thread::_State_impl<std::thread::_Invoker<std::tuple<void (*)(int), int> > >",
                "std::thread of void (*)(int), int",
            ),
        ];
        for (long, short) in cases {
            assert_eq!(shorten(long), short);
        }
    }

    #[test]
    fn other_names_are_only_shortened() {
        let cases = [
            (
                "Cache<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >, int>",
                "Cache<std::string, int>",
            ),
            (
                "Box<std::map<int, Foo, std::less<int>, std::allocator<std::pair<int const, Foo> > > >",
                "Box<std::map<int, Foo>>",
            ),
            ("Pool<std::allocator<int> >", "Pool<std::allocator<int>>"),
            ("broken<std::pair<int, std::less<", "broken<std::pair<int, std::less<"),
        ];
        for (long, short) in cases {
            assert_eq!(shorten(long), short);
        }
    }
}
