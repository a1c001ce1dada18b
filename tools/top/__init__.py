"""`tandem top`: what nodes do now, on one page that goes on."""
