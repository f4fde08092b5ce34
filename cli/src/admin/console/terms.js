// What the key figures mean: people argue about them, so each is said with what counts and where it is shown.

export const TERMS = [
  ['ASR', 'Answer-seizure ratio (ITU-T E.425): calls that were answered, of all that were tried, in percent. One that is tried '
    + 'at several trunks counts at each. It says as much about people as about the network: nights and wrong numbers lower it.'],
  ['NER', 'Network effectiveness ratio (E.425): calls that were answered, busy, declined, or rang without an answer, of all that '
    + 'were tried; with carriers wrong numbers, too. What people do is no fault of the network: this one should be near 100.'],
  ['SER', 'Session establishment ratio (RFC 6076 §4.6): INVITEs that got 200, of all but those that got 3xx. Counted where they are '
    + 'sent. Recorded by Prometheus (causeway monitoring alerts).'],
  ['SEER', 'Session establishment effectiveness ratio (RFC 6076 §4.7): as SER, where 480, 486, 600 and 603 count as successes, too: '
    + 'the call has reached somebody. Recorded by Prometheus.'],
  ['ISA', 'Ineffective session attempts (RFC 6076 §4.8): INVITEs that got 408, 500, 503 or 504, of all. What is broken or full, so '
    + 'near 0. Recorded by Prometheus.'],
  ['ACD', 'Average call duration, also ALOC: seconds from the answer to the end, of answered calls. One that falls by itself '
    + 'hints at audio that is bad, or at calls that are made up.'],
  ['PDD', 'Post-dial delay (RFC 6076 §4.3 calls it session request delay): seconds from the INVITE that leaves to the first '
    + 'answer but 100, or to the final one. Rounds of passwords do not count.'],
  ['SDD', 'Session disconnect delay (RFC 6076 §4.5): seconds from a BYE to its 2xx. One that grows tells of a peer that is loaded or '
    + 'gone. Not shown here: ladders have the times of both.'],
];
