/* TFTP clients for `npm run bench -- boot`: each fetches one file and compares every byte.
 *
 *   tftp-load SERVER NAME COPY BLKSIZE WINDOWSIZE CLIENTS TRANSFERS LOSS SECONDS ADDRESS
 *     CLIENTS at once fetch NAME, TRANSFERS times in all, until SECONDS have passed. COPY: a local file with the same
 *     bytes. LOSS: percent of packets that are dropped, in each direction. ADDRESS: of the first client; the others
 *     have those that follow it. Prints what was measured as JSON. A client asks for windowsize only where it is more
 *     than 1, acknowledges a gap at once (RFC 7440, section 4), and repeats its last packet after a second. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DATA = 3, TFTP_ACK = 4, ERROR = 5, OACK = 6, TRIES = 6 };

struct client {
  int fd, index, active, has_oack, tries, gap_acked;
  struct sockaddr_in peer;
  unsigned window, in_window, block_size;
  size_t got;
  unsigned long expected;
  double last;
};

static struct sockaddr_in server;
static const char *name;
static unsigned block_size, window;
static double loss;
static unsigned char *copy;
static size_t length;
static int events;
static in_addr_t first_address;
static unsigned long bytes, whole, wrong, refused, silent, repeats;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static int is_lost(void) { return loss > 0 && random() / 2147483648.0 * 100 < loss; }

static void transmit(struct client *c, const void *p, int size, const struct sockaddr_in *to) {
  c->last = now();
  if (!is_lost()) sendto(c->fd, p, size, 0, (const void *)to, sizeof *to);
}

static void request(struct client *c) {
  char p[512] = {0, 1};
  int n = 2;
#define TEXT(...) (n += sprintf(p + n, __VA_ARGS__) + 1)
  TEXT("%s", name);
  TEXT("octet");
  TEXT("blksize");
  TEXT("%u", block_size);
  TEXT("tsize");
  TEXT("0");
  if (window > 1) {
    TEXT("windowsize");
    TEXT("%u", window);
  }
  transmit(c, p, n, &server);
}

static void acknowledge(struct client *c, unsigned long block) {
  unsigned char p[4] = {0, TFTP_ACK, block >> 8, block};
  c->in_window = 0;
  transmit(c, p, 4, &c->peer);
}

static void begin(struct client *c) {
  int index = c->index, room = 4 << 20;
  memset(c, 0, sizeof *c);
  c->index = index;
  c->active = 1;
  c->expected = 1;
  c->window = 1;
  c->block_size = 512;
  c->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  setsockopt(c->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(ntohl(first_address) + index)};
  if (bind(c->fd, (void *)&at, sizeof at) < 0) {
    perror("bind");
    exit(1);
  }
  struct epoll_event e = {EPOLLIN, {.ptr = c}};
  epoll_ctl(events, EPOLL_CTL_ADD, c->fd, &e);
  request(c);
}

static void end(struct client *c) {
  close(c->fd);
  c->active = 0;
}

static void on_options(struct client *c, const char *p, int size) {
  c->has_oack = 1;
  for (int at = 2; at < size;) {
    const char *key = p + at;
    at += strlen(key) + 1;
    const char *value = p + at;
    at += strlen(value) + 1;
    if (!strcasecmp(key, "blksize")) c->block_size = atoi(value);
    if (!strcasecmp(key, "windowsize")) c->window = atoi(value);
  }
}

static void on_data(struct client *c, const unsigned char *p, int size) {
  unsigned block = p[2] << 8 | p[3], ahead = (block - c->expected) & 0xffff, data = size - 4;
  if (ahead != 0) {
    if (ahead >= 32768 || c->gap_acked) return;
    c->gap_acked = 1;
    repeats++;
    acknowledge(c, c->expected - 1);
    return;
  }
  c->gap_acked = c->tries = 0;
  if (data > length - c->got || memcmp(p + 4, copy + c->got, data)) {
    wrong++;
    end(c);
    return;
  }
  c->got += data;
  bytes += data;
  c->expected++;
  c->in_window++;
  if (data < c->block_size) {
    acknowledge(c, block);
    if (c->got == length) whole++;
    else wrong++;
    end(c);
  } else if (c->in_window >= c->window) acknowledge(c, block);
  else c->last = now();
}

static void receive(struct client *c) {
  unsigned char p[70000];
  while (c->active) {
    struct sockaddr_in from;
    socklen_t from_size = sizeof from;
    int size = recvfrom(c->fd, p, sizeof p - 1, 0, (void *)&from, &from_size);
    if (size < 4) return;
    if (is_lost()) continue;
    if (!c->peer.sin_port) c->peer = from;
    if (from.sin_port != c->peer.sin_port) continue;
    p[size] = 0;
    if (p[1] == ERROR) {
      refused++;
      end(c);
    } else if (p[1] == OACK) {
      if (!c->has_oack) on_options(c, (char *)p, size);
      if (c->expected == 1) acknowledge(c, 0);
    } else if (p[1] == DATA) on_data(c, p, size);
  }
}

static void on_silence(struct client *c) {
  repeats++;
  c->gap_acked = 0;
  if (++c->tries > TRIES) {
    silent++;
    end(c);
  } else if (!c->peer.sin_port) request(c);
  else acknowledge(c, c->expected - 1);
}

int main(int n, char **v) {
  if (n != 11) {
    fprintf(stderr, "usage: tftp-load SERVER NAME COPY BLKSIZE WINDOWSIZE CLIENTS TRANSFERS LOSS SECONDS ADDRESS\n");
    return 2;
  }
  server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(69), .sin_addr.s_addr = inet_addr(v[1])};
  name = v[2];
  int file = open(v[3], O_RDONLY);
  struct stat about;
  if (file < 0 || fstat(file, &about) < 0) {
    perror(v[3]);
    return 1;
  }
  length = about.st_size;
  copy = mmap(0, length, PROT_READ, MAP_SHARED, file, 0);
  block_size = atoi(v[4]);
  window = atoi(v[5]);
  int clients = atoi(v[6]), transfers = atoi(v[7]), started = 0;
  loss = atof(v[8]);
  first_address = inet_addr(v[10]);
  events = epoll_create1(0);
  srandom(1);
  struct client *all = calloc(clients, sizeof *all);
  double began = now(), ends = began + atof(v[9]);

  for (int running = 1; running && now() < ends;) {
    running = 0;
    double at = now();
    for (int i = 0; i < clients; i++) {
      all[i].index = i;
      if (all[i].active && at - all[i].last > 1) on_silence(&all[i]);
      if (!all[i].active && started < transfers) {
        started++;
        begin(&all[i]);
      }
      running += all[i].active;
    }
    struct epoll_event ready[64];
    int count = running ? epoll_wait(events, ready, 64, 50) : 0;
    for (int i = 0; i < count; i++) receive(ready[i].data.ptr);
  }
  double seconds = now() - began;
  printf("{\"bytes\":%lu,\"seconds\":%.3f,\"whole\":%lu,\"wrong\":%lu,\"refused\":%lu,\"silent\":%lu,\"unfinished\":%lu,"
         "\"repeats\":%lu}\n",
         bytes, seconds, whole, wrong, refused, silent, transfers - whole - wrong - refused - silent, repeats);
  return 0;
}
