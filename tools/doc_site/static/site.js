// Read from a folder, a page may not fetch others: the search then lists titles, without an excerpt of each page.
if (location.protocol === "file:") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

// What the theme leaves out: code and tables that scroll are reached by the keyboard, and headings have a level.
document.addEventListener("DOMContentLoaded", () => {
  for (const wide of document.querySelectorAll("article pre, article .table-wrapper")) {
    wide.tabIndex = 0;
  }
  for (const caption of document.querySelectorAll(".caption[role=heading]")) {
    caption.ariaLevel = "2";
  }
});
