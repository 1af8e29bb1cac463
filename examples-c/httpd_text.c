/* httpd: small answers, numbers, and text that grows while it is written. */
#define _POSIX_C_SOURCE 200809L
#include "httpd.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line of text. What the answer's status says is not looked at: a client that has hung up in the
 * meantime is an ordinary event. */
void answer_text(hysock_exchange *exchange, int32_t http_status, const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    hysock_exchange_answer(exchange, http_status, "text/plain", line, strlen(line), NULL);
}

/* Digits and nothing else, up to `most`: strtoull would take "-1", " 7" and "7x". */
bool parse_number(hysock_str digits, uint64_t most, uint64_t *number) {
    uint64_t value = 0;
    size_t i;
    if (digits.ptr == NULL || digits.len == 0)
        return false;
    for (i = 0; i < digits.len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)digits.ptr[i] - '0';
        if (digit > 9 || digit > most || value > (most - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

void text_new(struct text *text) {
    text->size = 1024;
    text->len = 0;
    text->data = malloc(text->size);
}

void text_add(struct text *text, const char *data, size_t len) {
    if (text->data == NULL)
        return;
    if (text->size - text->len < len) {
        size_t size = (text->len + len) * 2;
        char *larger = realloc(text->data, size);
        if (larger == NULL) {
            free(text->data);
            text->data = NULL;
            return;
        }
        text->data = larger;
        text->size = size;
    }
    memcpy(text->data + text->len, data, len);
    text->len += len;
}

/* For numbers and punctuation: 128 bytes at most. */
void text_format(struct text *text, const char *format, ...) {
    char piece[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    text_add(text, piece, strlen(piece));
}

/* How many bytes the UTF-8 character at `at` has; 0 when it is none. */
static size_t character(const unsigned char *at, size_t left) {
    size_t len = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    size_t i;
    if (at[0] > 0xf4 || len > left)
        return 0;
    for (i = 1; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
        return 0; /* too long a form, a surrogate, or beyond the last character */
    return len;
}

/* A JSON string, or null for an absent text. Bytes that are no UTF-8 become U+FFFD. */
void text_json(struct text *text, hysock_str value) {
    const unsigned char *at = (const unsigned char *)value.ptr;
    size_t left = value.len;
    if (at == NULL) {
        text_format(text, "null");
        return;
    }
    text_format(text, "\"");
    while (left > 0) {
        size_t len = character(at, left);
        if (len == 0)
            text_format(text, "\\ufffd");
        else if (*at < 0x20 || *at == 0x7f)
            text_format(text, "\\u%04x", *at);
        else if (*at == '"' || *at == '\\')
            text_format(text, "\\%c", *at);
        else
            text_add(text, (const char *)at, len);
        at += len == 0 ? 1 : len;
        left -= len == 0 ? 1 : len;
    }
    text_format(text, "\"");
}

/* Answers with the text and ends it. */
void text_answer(struct text *text, hysock_exchange *exchange, const char *content_type) {
    if (text->data == NULL)
        answer_text(exchange, 503, "out of memory\n");
    else
        hysock_exchange_answer(exchange, 200, content_type, text->data, text->len, NULL);
    free(text->data);
    text->data = NULL;
}
