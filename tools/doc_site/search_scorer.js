// Sphinx's weights, except that pages for who works on nomyo come after those for who uses it.
const OF_DEVELOPERS = ["architecture", "changelog", "contributing", "decisions", "testing", "upgrading"];

var Scorer = {
  score: ([name, , , , score]) => (OF_DEVELOPERS.includes(name) ? score / 10 : score),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
