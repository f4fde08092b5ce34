//! How many series a scrape may have: what is beyond is left out, the largest families first, so that what says
//! whether the node is well is always there (operations, section 2).

use prometheus::proto::{Metric, MetricFamily, MetricType};

/// Leaves out what is beyond `most` series, and says how many they are.
pub(super) fn cap(families: &mut [MetricFamily], most: usize) -> usize {
    let size = |family: &MetricFamily| series(family.get_field_type(), family.get_metric());
    let all: usize = families.iter().map(size).sum();
    if all <= most {
        return 0;
    }
    let mut by_size: Vec<&mut MetricFamily> = families.iter_mut().collect();
    by_size.sort_by_key(|family| size(family));
    let (mut room, mut dropped) = (most, 0);
    for family in by_size {
        let kind = family.get_field_type();
        let mut kept = 0;
        for metric in family.get_metric() {
            let size = series(kind, std::slice::from_ref(metric));
            if size > room {
                break;
            }
            room -= size;
            kept += 1;
        }
        let cut = family.mut_metric().split_off(kept);
        if !cut.is_empty() {
            dropped += series(kind, &cut);
            // What is smaller than what did not fit must not slip in behind it.
            room = 0;
        }
    }
    dropped
}

/// How many series these are.
fn series(kind: MetricType, metrics: &[Metric]) -> usize {
    let of = |metric: &Metric| match kind {
        // One for each bucket, the one without an end, the sum and the count.
        MetricType::HISTOGRAM => metric.get_histogram().get_bucket().len() + 3,
        _ => 1,
    };
    metrics.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::metrics::Metrics;
    use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts};
    use sbc_core::config::MOST_SERIES;

    fn lines(text: &str) -> Vec<&str> {
        let series = |line: &&str| !line.starts_with('#');
        text.lines().filter(series).collect()
    }

    #[test]
    fn what_is_beyond_the_cap_is_left_out_of_the_largest_family_and_counted() {
        let metrics = Metrics::new().unwrap();
        let few = lines(&metrics.text_of(MOST_SERIES)).len();
        let many = IntCounterVec::new(Opts::new("a_total", "Many."), &["of"]).unwrap();
        for number in 0..1_000 {
            many.with_label_values(&[&number.to_string()]);
        }
        metrics.add_collector(Box::new(many)).unwrap();
        let last = IntGauge::new("zz", "One.").unwrap();
        metrics.add_collector(Box::new(last)).unwrap();
        let all = few + 1_001;
        let text = metrics.text_of(all);
        assert_eq!(lines(&text).len(), all);
        assert!(text.contains("sbc_metrics_dropped_series_total 0"));
        let text = metrics.text_of(all - 400);
        assert_eq!(lines(&text).len(), all - 400);
        assert!(text.contains("\nzz 0\n"), "the small ones are whole");
        let left = lines(&text);
        let left = left.iter().filter(|line| line.starts_with("a_total"));
        assert_eq!(left.count(), 600);
        // It is told by the next scrape, and stays told.
        for most in [all, all - 400] {
            let text = metrics.text_of(most);
            assert!(text.contains("sbc_metrics_dropped_series_total 400"));
        }
    }

    #[test]
    fn a_histogram_is_left_out_as_a_whole() {
        let options = HistogramOpts::new("h", "One.").buckets(vec![1.0, 2.0]);
        let histogram = Histogram::with_opts(options).unwrap();
        let mut families = prometheus::core::Collector::collect(&histogram);
        assert_eq!(cap(&mut families, 5), 0);
        assert_eq!(cap(&mut families, 4), 5);
        assert!(families[0].get_metric().is_empty());
    }
}
