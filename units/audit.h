/* audit: every change that hbctl makes, in <state>/audit/audit.log: one JSON object a line, appended
 * and synced, each with the hash of the one before (SHA-256 over the line up to its own hash), so
 * that no line can be changed or taken out without all that follow. A change is written twice:
 * before it is made (outcome "begun") and after. */
#ifndef HB_UNITS_AUDIT_H
#define HB_UNITS_AUDIT_H

#include "units/verb.h"

/* Whoever runs hbctl, "root for li" through sudo. */
void audit_who(char out[128]);
/* Who is whoever runs hbctl (and through sudo); `verb` e.g. "campaign apply"; `what` is text that
 * says what changes; `why` is --reason. Nothing may be changed when this fails (said on stderr). */
err_t audit_begin(const char *verb, const char *what, const char *why) MUST_CHECK;
/* After it, with hbctl's exit code; returns that code, or VERB_PARTLY when it cannot be written. */
int audit_end(const char *verb, const char *what, const char *why, int outcome);

#endif
