/* A compiler of three instructions for x86-64, as a server of the process protocol (docs/process-protocol.md).
 *
 * It is here to be copied from: one file, no library but C's. Each value has a place in the frame.
 *
 *     cc -O1 -g -o tiny examples/tiny_compiler.c
 *     clifhanger fuzz --target process:./tiny -n 2000
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char DESCRIPTION[] =
    "ok\n"
    "name tiny-c\n"
    "version 1.0\n"
    "isa x86_64\n"
    "only iconst iadd return\n"
    "results 1\n";

/* -- frames: the length in four bytes, little-endian, and so many bytes of UTF-8 ------------------------------- */

static char *read_frame(void)
{
    unsigned char head[4];
    if (fread(head, 1, 4, stdin) < 4)
        return NULL; /* nobody asks any more */
    uint32_t length = head[0] | head[1] << 8 | head[2] << 16 | (uint32_t)head[3] << 24;
    char *text = malloc((size_t)length + 1);
    if (text == NULL || fread(text, 1, length, stdin) < length)
        exit(1);
    text[length] = 0;
    return text;
}

static void write_frame(const char *text)
{
    uint32_t length = (uint32_t)strlen(text);
    unsigned char head[4] = {length & 255, length >> 8 & 255, length >> 16 & 255, length >> 24};
    fwrite(head, 1, 4, stdout);
    fwrite(text, 1, length, stdout);
    fflush(stdout);
}

/* -- machine code ---------------------------------------------------------------------------------------------- */

struct code {
    unsigned char *bytes;
    size_t length, capacity;
};

static void put(struct code *code, const void *bytes, size_t count)
{
    if (code->length + count > code->capacity) {
        code->capacity = 2 * code->capacity + count + 64;
        code->bytes = realloc(code->bytes, code->capacity);
        if (code->bytes == NULL)
            abort();
    }
    memcpy(code->bytes + code->length, bytes, count);
    code->length += count;
}

static void put_number(struct code *code, uint64_t number, int count)
{
    for (int i = 0; i < count; i++) {
        unsigned char byte = number >> 8 * i & 255;
        put(code, &byte, 1);
    }
}

/* An instruction of three bytes and an offset from RBP. */
static void put_at(struct code *code, const char *opcode, int64_t offset)
{
    put(code, opcode, 3);
    put_number(code, (uint64_t)offset, 4);
}

static int64_t place(unsigned value) { return -8 * ((int64_t)value + 1); }

#define LOAD "\x48\x8b\x85"  /* mov rax, [rbp + offset] */
#define ADD "\x48\x03\x85"   /* add rax, [rbp + offset] */
#define STORE "\x48\x89\x85" /* mov [rbp + offset], rax */

/* mov [rbp + offset], register: of the six registers that arguments come in */
static const char *const SPILLS[6] = {"\x48\x89\xbd", "\x48\x89\xb5", "\x48\x89\x95",
                                      "\x48\x89\x8d", "\x4c\x89\x85", "\x4c\x89\x8d"};

/* -- CLIF, a line at a time ------------------------------------------------------------------------------------ */

static int bits_of(const char *type)
{
    static const char *const NAMES[4] = {"i8", "i16", "i32", "i64"};
    for (int i = 0; i < 4; i++)
        if (strcmp(type, NAMES[i]) == 0)
            return 8 << i;
    return 0;
}

static unsigned highest_value(const char *text)
{
    unsigned highest = 0, value;
    for (; *text; text++)
        if (*text == 'v' && sscanf(text, "v%u", &value) == 1 && value > highest)
            highest = value;
    return highest;
}

/* Each of these is whether the line was understood; if not, `why` says what it is that is not supported. */
static char why[128];

static int refuse(const char *what)
{
    snprintf(why, sizeof why, "%s", what);
    return 0;
}

/* block0(v0: i32, v1: i64): */
static int take_parameters(struct code *code, const char *line)
{
    unsigned value;
    char type[16];
    int number = 0;
    for (const char *at = strpbrk(line, "("); at && sscanf(at, "%*[(, ]v%u: %15[a-z0-9]", &value, type) == 2;
         at = strpbrk(at + 1, ","), number++) {
        if (bits_of(type) == 0)
            return refuse("a parameter that is no integer of up to 64 bits");
        if (number < 6) {
            put_at(code, SPILLS[number], place(value));
        } else {
            put_at(code, LOAD, 16 + 8 * (number - 6));
            put_at(code, STORE, place(value));
        }
    }
    return 1;
}

/* v2 = iconst.i32 0x1_0000 */
static uint64_t number_of(const char *text)
{
    char digits[80];
    size_t count = 0;
    for (; *text && count + 1 < sizeof digits; text++)
        if (*text != '_')
            digits[count++] = *text;
    digits[count] = 0;
    return digits[0] == '-' ? 0 - strtoull(digits + 1, NULL, 0) : strtoull(digits, NULL, 0);
}

static int take_instruction(struct code *code, const char *line, int bits, const char *extension)
{
    unsigned value, x, y;
    char type[16], number[80], word[64] = "";
    if (sscanf(line, "v%u = iconst.%15[a-z0-9] %79s", &value, type, number) == 3 && bits_of(type)) {
        put(code, "\x48\xb8", 2); /* mov rax, number */
        put_number(code, number_of(number), 8);
        put_at(code, STORE, place(value));
        return 1;
    }
    if (sscanf(line, "v%u = iadd v%u, v%u", &value, &x, &y) == 3
        || (sscanf(line, "v%u = iadd.%15[a-z0-9] v%u, v%u", &value, type, &x, &y) == 4 && bits_of(type))) {
        put_at(code, LOAD, place(x));
        put_at(code, ADD, place(y));
        put_at(code, STORE, place(value));
        return 1;
    }
    if (sscanf(line, "return v%u", &x) == 1) {
        unsigned char unused = (unsigned char)(64 - bits);
        put_at(code, LOAD, place(x));
        if (*extension && unused) {
            put(code, "\x48\xc1\xe0", 3); /* shl rax, unused */
            put(code, &unused, 1);
            put(code, strcmp(extension, "uext") == 0 ? "\x48\xc1\xe8" : "\x48\xc1\xf8", 3); /* shr, sar */
            put(code, &unused, 1);
        }
        put(code, "\xc9\xc3", 2); /* leave; ret */
        return 1;
    }
    const char *equals = strstr(line, " = ");
    sscanf(equals ? equals + 3 : line, "%63[a-z0-9_]", word);
    return refuse(word);
}

static int compile(struct code *code, char *text)
{
    char type[16] = "", extension[16] = "";
    int bits = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        line += strspn(line, " ");
        if (*line == 0 || *line == ';' || *line == '}')
            continue;
        if (strncmp(line, "function ", 9) == 0) {
            const char *arrow = strstr(line, "-> ");
            if (bits)
                return refuse("several functions");
            if (arrow)
                sscanf(arrow, "-> %15[a-z0-9] %15[a-z]", type, extension);
            bits = bits_of(type);
            if (bits == 0 || (*extension && strcmp(extension, "uext") && strcmp(extension, "sext")))
                return refuse("its results");
        } else if (strncmp(line, "block0", 6) == 0) {
            if (!take_parameters(code, line))
                return 0;
        } else if (!take_instruction(code, line, bits, extension)) {
            return 0;
        }
    }
    return 1;
}

static void answer(char *question)
{
    struct code code = {NULL, 0, 0};
    char *clif = strstr(question, "\n\n");
    if (strncmp(question, "describe", 8) == 0) {
        write_frame(DESCRIPTION);
        return;
    }
    if (clif == NULL) {
        write_frame("bad\nno empty line before the functions\n");
        return;
    }
    put(&code, "\x55\x48\x89\xe5\x48\x81\xec", 7); /* push rbp; mov rbp, rsp; sub rsp, frame */
    put_number(&code, (8 * ((uint64_t)highest_value(clif) + 1) + 15) & ~(uint64_t)15, 4);
    if (compile(&code, clif)) {
        char *reply = malloc(2 * code.length + 16), *end = reply;
        if (reply == NULL)
            abort();
        end += sprintf(end, "ok\ncode ");
        for (size_t i = 0; i < code.length; i++)
            end += sprintf(end, "%02x", code.bytes[i]);
        sprintf(end, "\n");
        write_frame(reply);
        free(reply);
    } else {
        char reply[160];
        snprintf(reply, sizeof reply, "unsupported\n%s\n", why);
        write_frame(reply);
    }
    free(code.bytes);
}

int main(void)
{
    for (char *question; (question = read_frame()) != NULL; free(question))
        answer(question);
    return 0;
}
