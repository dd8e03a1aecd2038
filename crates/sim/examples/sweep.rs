//! temporary
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]
use patroni_sim::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let mut o = Options::default();
    for m in Mutant::ALL {
        if a.iter().any(|x| *x == format!("{m:?}")) {
            o.mutant = Some(m);
        }
    }
    let first: u64 = a[2].parse().unwrap();
    if a[1] == "trace" {
        let r = trace(first, &o, &mut std::io::stdout()).unwrap();
        println!("{:?}", r.violation);
    } else {
        let n: u64 = a[3].parse().unwrap();
        let s = sweep(first, n, &o, 2, |_| ());
        if a[1] == "cov" {
            for (k, v) in s.coverage.iter() {
                println!("{v:>9} {k}");
            }
        }
        for v in &s.violations {
            println!("{v:?}");
        }
        println!("runs {} violations {}", s.runs, s.violations.len());
    }
}
