// Tries what the tests of the core ask of the kernel, and prints `NAME yes` or `NAME no`: an emulator lacks some of it.

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOCK_ON_FAULT = 1, MEMFD_SECRET = 447, ADDRESS_SPACE_BYTES = 1 << 30 };

static size_t page;

static char *pages(void) {
  char *new = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (new == MAP_FAILED) exit(1);
  return new;
}

// Whether a file that lists mappings shows a flag of the one at this address (proc_pid_smaps(5)).
static int has_flag(const char *path, const char *at, const char *flag) {
  char line[4096];
  int inside = 0, found = 0;
  FILE *file = fopen(path, "r");
  while (file && fgets(line, sizeof line, file)) {
    unsigned long low, high;
    if (sscanf(line, "%lx-%lx ", &low, &high) == 2)
      inside = low <= (unsigned long)at && (unsigned long)at < high;
    else if (inside && strncmp(line, "VmFlags:", 8) == 0)
      found |= strstr(line, flag) != NULL;
  }
  if (file) fclose(file);
  return found;
}

static int mlock_(void) {
  char *at = pages();
  return mlock(at, page) == 0 && has_flag("/proc/thread-self/smaps", at, " lo");
}

static int mlock2_(void) { return syscall(SYS_mlock2, pages(), page, LOCK_ON_FAULT) == 0; }

static int flags_of_own_mappings(void) {
  char *at = pages();
  return mlock(at, page) == 0 && has_flag("/proc/self/smaps", at, " lo");
}

static int dontdump(void) {
  char *at = pages();
  return madvise(at, page, MADV_DONTDUMP) == 0 && has_flag("/proc/thread-self/smaps", at, " dd");
}

static int wipeonfork(void) {
  char *at = pages();
  int status = 1;
  *at = 7;
  if (madvise(at, page, MADV_WIPEONFORK) != 0) return 0;
  if (fork() == 0) _exit(*at);
  wait(&status);
  return status == 0;
}

static int memfd_secret_(void) { return syscall(MEMFD_SECRET, 0) >= 0; }

static int address_space_limit(void) {
  struct rlimit limit = {ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES};
  setrlimit(RLIMIT_AS, &limit);
  return mmap(NULL, ADDRESS_SPACE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

int main(void) {
  static const struct {
    const char *name;
    int (*works)(void);
  } facilities[] = {
      {"mlock", mlock_},
      {"mlock2", mlock2_},
      {"flags_of_own_mappings", flags_of_own_mappings},
      {"dontdump", dontdump},
      {"wipeonfork", wipeonfork},
      {"memfd_secret", memfd_secret_},
      {"address_space_limit", address_space_limit}, // the last: it cannot be lifted
  };
  page = (size_t)sysconf(_SC_PAGESIZE);
  for (size_t i = 0; i < sizeof facilities / sizeof *facilities; i++)
    printf("%s %s\n", facilities[i].name, facilities[i].works() ? "yes" : "no");
  return 0;
}
