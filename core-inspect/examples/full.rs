//! scratch
#![allow(missing_docs, clippy::all, clippy::pedantic, clippy::print_stdout)]
use core_inspect::{base::*, heap, *};
use std::collections::BTreeMap;
fn rss() -> String {
    std::fs::read_to_string("/proc/self/status").unwrap().lines().filter(|l| l.starts_with("RssAnon")).collect()
}
struct P(std::time::Instant);
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}
impl Progress for P {
    fn phase(&self, p: Phase) {
        println!("[{:?} cpu {:.2} {}] {}", self.0.elapsed(), cpu(), rss(), p.as_str());
    }
}
fn main() {
    let mut args = std::env::args().skip(1);
    let core = args.next().unwrap();
    let truth = args.next();
    let p = P(std::time::Instant::now());
    let i = Inspection::open(InspectOptions { core: core.into(), ..Default::default() }, &p).unwrap();
    let h = i.heap();
    for a in &h.allocators {
        println!("{} {:?} {:?} {}", a.name, a.version, a.module, a.evidence_text);
        for c in &a.checks {
            if !c.agrees() || !c.name.starts_with("arena") {
                println!("   {} {}: {} of {}", if c.agrees() { "ok" } else { "NO" }, c.name, c.found, c.expected);
            }
        }
    }
    println!("cpu {:.2}", cpu());
    let mut by: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for c in h.chunks.iter() {
        let e = by.entry(c.place.as_str()).or_default();
        e.0 += 1;
        e.1 += c.usable;
    }
    println!("{by:?} internal {}", h.internal.len());
    let g = i.graph().unwrap();
    println!("edges {} roots {} refs {} own {}", g.edges.len(), g.roots.len(), g.root_refs.len(), g.own_bytes());
    let r = i.reach().unwrap();
    println!("cpu reach {:.2}", cpu());
    i.types();
    println!("cpu types {:.2}", cpu());
    println!("leak groups {}", i.leaks().unwrap().len());
    for s in i.suspects().unwrap().ranked.iter().take(6) {
        println!(
            "SUSPECT {:?} {:?} n={} el={:?} shallow={} held={:?} share={:.2} rising={:?} sib={:?} signs={:?} stands={} {:?} anchor={:?} confirmed={:?}",
            s.kind,
            s.described.shape,
            s.elements,
            s.element_size,
            s.shallow_bytes,
            s.held,
            s.share,
            s.rising,
            s.siblings,
            s.signs,
            s.stands_out,
            s.evidence,
            s.described.anchor.as_ref().map(|a| (a.word, a.object, a.chunk, a.root)),
            s.described.confirmed
        );
    }
    println!("[{:?} cpu {:.2} {}] end", p.0.elapsed(), cpu(), rss());
    for p in i.problems().iter().take(12) {
        println!("problem {:?} {:?} {:?} {}", p.kind, p.at, p.file, p.text);
    }
    let mut st: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for c in h.chunks.iter() {
        let e = st.entry(r.standing(c.id).as_str()).or_default();
        e.0 += 1;
        e.1 += c.usable;
    }
    println!("{st:?}");
    let mut ty: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for c in h.chunks.iter() {
        if let Some(n) = i.types().name_of(c.id) {
            let e = ty.entry(n.to_string()).or_default();
            e.0 += 1;
            e.1 += c.usable;
        }
    }
    let mut ty: Vec<_> = ty.into_iter().collect();
    ty.sort_by_key(|t| std::cmp::Reverse(t.1.1));
    for t in ty.iter().take(15) {
        println!("   {:10} {:12} {}", t.1.0, t.1.1, t.0);
    }
    let Some(truth) = truth else { return };
    let mut want: BTreeMap<u64, (u64, String)> = BTreeMap::new();
    for l in std::fs::read_to_string(truth).unwrap().lines() {
        if !l.starts_with("0x") {
            continue;
        }
        let mut f = l.split(',');
        want.insert(
            u64::from_str_radix(&f.next().unwrap()[2..], 16).unwrap(),
            (f.next().unwrap().parse().unwrap(), f.next().unwrap().into()),
        );
    }
    let mut cross: BTreeMap<(String, &str), u64> = BTreeMap::new();
    let (mut ok, mut extra, mut wrong) = (0, vec![], 0);
    for c in h.chunks.iter().filter(|c| c.place.state() == heap::State::Used) {
        match want.remove(&c.user.0) {
            Some((u, f)) => {
                if u == c.usable {
                    ok += 1
                } else {
                    wrong += 1
                }
                let k = (f.clone(), r.standing(c.id).as_str());
                if f != "kept" && k.1.starts_with("reach") || f == "kept" && !k.1.starts_with("reach") {
                    if cross.get(&k).copied().unwrap_or(0) < 3 {
                        println!("   {f} {} {:?} {}", k.1, c.user, c.usable);
                    }
                }
                *cross.entry(k).or_default() += 1;
            }
            None => extra.push(c),
        }
    }
    println!("TRUTH ok {ok} wrong {wrong} missing {} extra {}", want.len(), extra.len());
    println!("{cross:?}");
    let mut es: BTreeMap<(u64, &str), u64> = BTreeMap::new();
    for e in &extra {
        *es.entry((e.usable, r.standing(e.id).as_str())).or_default() += 1;
    }
    println!("  extra sizes {es:?}");
    let _ = Avma(0);
}
