// Read from a folder, a page may not fetch others: the search then lists titles, without an excerpt of each page.
if (location.protocol === "file:") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}
