//! Spectral relevance analysis (Lapuschkin et al. 2019, Unmasking Clever Hans predictors, Nature Communications
//! 10:1096): clusters of similar explanations reveal the strategies that a model uses for a class.
//!
//! A graph connects each coarse map to its nearest neighbours. The largest gap between the smallest eigenvalues of
//! its normalized Laplacian gives the number of clusters, and k-means on the eigenvectors finds them (von Luxburg
//! 2007, A Tutorial on Spectral Clustering).

use crate::dataset::eigen::eigen;
use crate::dataset::heat_grid::HeatGrid;
use crate::random::{Key, Rng};

/// Maximum number of neighbours of each map.
const NEIGHBOURS: usize = 10;
/// Maximum number of clusters.
const MOST_CLUSTERS: usize = 8;
/// Number of k-means runs, of which the best counts; [`ROUNDS`] is the maximum number of iterations of each.
const STARTS: usize = 5;
const ROUNDS: usize = 100;

/// Returns partitions of the grids. Each has a cluster number per grid, 0 for the largest cluster. The first
/// partition has as many clusters as the largest eigengap suggests, followed by all other numbers of clusters,
/// because the gap may be hard to see.
pub(super) fn partitions(grids: &[&HeatGrid], key: Key) -> Vec<Vec<usize>> {
    let n = grids.len();
    if n < 4 {
        return vec![vec![0; n]];
    }
    let solved = eigen(laplacian(&affinity(grids), n), n);
    let most = MOST_CLUSTERS.min(n - 1);
    let best = eigengap(&solved.values, most);
    let counts = [best].into_iter().chain((1..=most).filter(|k| *k != best));
    let partition = |k: usize| {
        // Each image as a point: its entries in the first k eigenvectors, scaled to length 1 (Ng et al. 2001).
        let point = |i: usize| {
            let entries: Vec<f64> = solved.vectors[..k].iter().map(|v| v[i]).collect();
            let length = entries.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            entries.into_iter().map(|v| v / length).collect()
        };
        let points: Vec<Vec<f64>> = (0..n).map(point).collect();
        by_size(&k_means(&points, k, key.at(k as u64)), k)
    };
    counts.map(partition).collect()
}

/// Returns the adjacency matrix: 1 if one of two maps is among the other's nearest neighbours.
fn affinity(grids: &[&HeatGrid]) -> Vec<f64> {
    let n = grids.len();
    let neighbours = NEIGHBOURS.min(n - 1);
    let mut joined = vec![0.0; n * n];
    for (i, grid) in grids.iter().enumerate() {
        let mut others: Vec<(f64, usize)> =
            (0..n).filter(|&j| j != i).map(|j| (distance(grid, grids[j]), j)).collect();
        others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for &(_, j) in &others[..neighbours] {
            joined[i * n + j] = 1.0;
            joined[j * n + i] = 1.0;
        }
    }
    joined
}

fn distance(a: &HeatGrid, b: &HeatGrid) -> f64 {
    a.cells().iter().zip(b.cells()).map(|(x, y)| f64::from(x - y).powi(2)).sum()
}

/// Returns the normalized Laplacian I − D^(−½) A D^(−½).
fn laplacian(affinity: &[f64], n: usize) -> Vec<f64> {
    let root: Vec<f64> =
        affinity.chunks_exact(n).map(|row| row.iter().sum::<f64>().max(f64::MIN_POSITIVE).sqrt()).collect();
    let element =
        |i: usize, j: usize| f64::from(u8::from(i == j)) - affinity[i * n + j] / (root[i] * root[j]);
    (0..n * n).map(|at| element(at / n, at % n)).collect()
}

/// Returns the number of clusters: the position of the largest gap between consecutive eigenvalues.
fn eigengap(values: &[f64], most: usize) -> usize {
    let gap = |k: &usize| values[*k] - values[*k - 1];
    // The first of equal gaps: fewer clusters explain the same.
    (1..=most).rev().max_by(|a, b| gap(a).total_cmp(&gap(b))).unwrap_or(1)
}

fn k_means(points: &[Vec<f64>], k: usize, key: Key) -> Vec<usize> {
    let tries = (0..STARTS as u64).map(|start| one_try(points, k, &mut key.at(start).rng()));
    tries.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(vec![0; points.len()], |best| best.1)
}

/// Runs Lloyd's algorithm from spread-out centres (k-means++, Arthur and Vassilvitskii 2007); returns cost and
/// assignment.
fn one_try(points: &[Vec<f64>], k: usize, rng: &mut Rng) -> (f64, Vec<usize>) {
    let mut centres = vec![points[rng.below(points.len())].clone()];
    while centres.len() < k {
        let far: Vec<f64> = points.iter().map(|p| nearest(p, &centres).0).collect();
        let mut left = rng.uniform_f64() * far.iter().sum::<f64>();
        let chosen = far.iter().position(|d| {
            left -= d;
            left <= 0.0 && *d > 0.0
        });
        centres.push(points[chosen.unwrap_or(0)].clone());
    }
    let mut assigned = vec![0; points.len()];
    for _ in 0..ROUNDS {
        let now: Vec<usize> = points.iter().map(|p| nearest(p, &centres).1).collect();
        let settled = now == assigned;
        assigned = now;
        if settled {
            break;
        }
        for (c, centre) in centres.iter_mut().enumerate() {
            let members: Vec<&Vec<f64>> =
                points.iter().zip(&assigned).filter(|(_, a)| **a == c).map(|(p, _)| p).collect();
            for (at, value) in centre.iter_mut().enumerate().filter(|_| !members.is_empty()) {
                *value = members.iter().map(|m| m[at]).sum::<f64>() / members.len() as f64;
            }
        }
    }
    (points.iter().map(|p| nearest(p, &centres).0).sum(), assigned)
}

/// Returns the squared distance to the nearest centre and the index of that centre.
fn nearest(point: &[f64], centres: &[Vec<f64>]) -> (f64, usize) {
    let distance = |c: &Vec<f64>| c.iter().zip(point).map(|(x, y)| (x - y).powi(2)).sum::<f64>();
    let all = centres.iter().enumerate().map(|(i, c)| (distance(c), i));
    all.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, 0))
}

/// Renumbers the clusters by falling size; ties by their first member.
fn by_size(assigned: &[usize], k: usize) -> Vec<usize> {
    let size = |c: usize| assigned.iter().filter(|a| **a == c).count();
    let first = |c: usize| assigned.iter().position(|a| *a == c).unwrap_or(usize::MAX);
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by_key(|&c| (std::cmp::Reverse(size(c)), first(c)));
    assigned.iter().map(|a| order.iter().position(|c| c == a).unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::heat_grid::SIDE;
    use crate::random::Use;
    use crate::render::Map;

    /// Heat around a cell, with noise.
    fn blob(row: f64, column: f64, rng: &mut Rng) -> HeatGrid {
        let heat = |i: usize| {
            let (y, x) = ((i / SIDE) as f64 - row, (i % SIDE) as f64 - column);
            ((-(y * y + x * x) / 4.0).exp() + 0.05 * rng.uniform_f64()) as f32
        };
        HeatGrid::of(&Map::new(SIDE, SIDE, (0..SIDE * SIDE).map(heat).collect()).unwrap()).unwrap()
    }

    fn clusters(grids: &[&HeatGrid], key: Key) -> Vec<usize> {
        partitions(grids, key).remove(0)
    }

    #[test]
    fn three_strategies_are_three_clusters() {
        for seed in 0..5 {
            let key = Key::new(seed, Use::Explain);
            let mut rng = key.at(9).rng();
            let places = [(2.0, 2.0), (8.0, 8.0), (13.0, 3.0)];
            // 30, 20 and 12 maps, shuffled.
            let kinds: Vec<usize> =
                (0..62).map(|i| if i % 3 == 2 && i < 36 { 2 } else { usize::from(i % 5 < 2) }).collect();
            let grids: Vec<HeatGrid> =
                kinds.iter().map(|&k| blob(places[k].0, places[k].1, &mut rng)).collect();
            let found = clusters(&grids.iter().collect::<Vec<_>>(), key);
            assert_eq!(found.iter().max(), Some(&2), "seed {seed}: {found:?}");
            for i in 0..62 {
                for j in 0..i {
                    assert_eq!(kinds[i] == kinds[j], found[i] == found[j], "seed {seed}");
                }
            }
            assert_eq!(found, clusters(&grids.iter().collect::<Vec<_>>(), key));
        }
    }

    #[test]
    fn few_maps_are_one_cluster() {
        let mut rng = Key::new(0, Use::Explain).rng();
        let grids: Vec<HeatGrid> = (0..3).map(|_| blob(5.0, 5.0, &mut rng)).collect();
        assert_eq!(clusters(&grids.iter().collect::<Vec<_>>(), Key::new(0, Use::Explain)), [0, 0, 0]);
        assert!(clusters(&[], Key::new(0, Use::Explain)).is_empty());
        // All maps equal: every gap but the first has the same size.
        let same = vec![&grids[0]; 9];
        assert_eq!(clusters(&same, Key::new(0, Use::Explain)), [0; 9]);
    }

    #[test]
    fn the_gap_decides() {
        assert_eq!(eigengap(&[0.0, 0.5, 0.6, 0.7], 3), 1);
        assert_eq!(eigengap(&[0.0, 0.0, 0.01, 0.6, 0.7], 4), 3);
        assert_eq!(by_size(&[2, 0, 0, 1, 1, 0], 3), [2, 0, 0, 1, 1, 0]);
    }
}
