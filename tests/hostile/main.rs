//! Synthetic and damaged cores through the floors and the tool: every glibc release against its truth, random bytes in
//! every structure, and the files that people pass by mistake.

mod damage;
mod edge_files;
mod every_release;
mod floors;
mod limits;
mod random_fields;
mod real_allocators;
mod tool;
