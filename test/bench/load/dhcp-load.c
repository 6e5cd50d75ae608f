/* DHCP clients behind relays, for `npm run bench -- boot`: the packets of PXE firmware.
 *
 *   dhcp-load take SERVER RELAYS OUTSTANDING SECONDS FIRST CLIENTS MOST
 *     DISCOVER, OFFER, REQUEST, ACK, for clients FIRST to FIRST + CLIENTS in turn, OUTSTANDING at once, until SECONDS
 *     have passed or MOST transactions are done. RELAYS: addresses of this machine with commas between them; client n
 *     is behind relay n modulo their number. Prints what was measured as JSON. "twice" counts addresses that two
 *     clients got.
 *   dhcp-load flood SERVER RELAYS RATE SECONDS
 *     RATE DISCOVERs a second, each of another made-up MAC. Prints how many were sent. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DISCOVER = 1, OFFER = 2, REQUEST = 3, ACK = 5, NAK = 6 };
enum { MAX_RELAYS = 64, MAX_LATENCIES = 4000000, SLOTS = 1024, HEADER = 240, TRIES = 4 };

struct transaction {
  int waits_for;
  unsigned client;
  double began, sent;
  unsigned char address[4], server[4];
  int tries;
};

static struct sockaddr_in server;
static in_addr_t relays[MAX_RELAYS];
static unsigned relay_count;
static double latencies[MAX_LATENCIES];
/* Who has an address, by its last 24 bits: client + 1. */
static unsigned *owners;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static int put(unsigned char *p, int at, int code, const void *value, int length) {
  p[at++] = code;
  p[at++] = length;
  memcpy(p + at, value, length);
  return at + length;
}

static const unsigned char WANTED[] = {1,  2,  3,  4,  5,  6,  12, 13, 15, 17, 18,  22,  23,  28,  40,  41,  42, 43,
                                       50, 51, 54, 58, 59, 60, 66, 67, 97, 128, 129, 130, 131, 132, 133, 134, 135};
static const char CLASS[] = "PXEClient:Arch:00007:UNDI:003016";

static int packet(unsigned char *p, int type, unsigned xid, unsigned prefix, unsigned client,
                  const struct transaction *offered) {
  memset(p, 0, 548);
  p[0] = 1;
  p[1] = 1;
  p[2] = 6;
  p[3] = 1;
  unsigned net_xid = htonl(xid), number = htonl(client);
  memcpy(p + 4, &net_xid, 4);
  memcpy(p + 24, &relays[client % relay_count], 4);
  p[28] = 2;
  p[29] = prefix;
  memcpy(p + 30, &number, 4);
  static const unsigned char cookie[] = {99, 130, 83, 99};
  memcpy(p + 236, cookie, 4);
  unsigned char kind = type, size[] = {5, 0xc0}, uuid[17] = {0}, arch[] = {0, 7}, ndi[] = {1, 3, 16};
  memcpy(uuid + 1, p + 28, 6);
  int at = put(p, HEADER, 53, &kind, 1);
  if (type == REQUEST) {
    at = put(p, at, 50, offered->address, 4);
    at = put(p, at, 54, offered->server, 4);
  }
  at = put(p, at, 55, WANTED, sizeof WANTED);
  at = put(p, at, 57, size, 2);
  at = put(p, at, 97, uuid, 17);
  at = put(p, at, 93, arch, 2);
  at = put(p, at, 94, ndi, 3);
  at = put(p, at, 60, CLASS, 32);
  p[at++] = 255;
  return at < 300 ? 300 : at;
}

/* Answers come to one socket alone: a flood, which gets none, has another port. */
static int open_socket(int port) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), on = 1, room = 8 << 20;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  if (bind(fd, (void *)&at, sizeof at) < 0) {
    perror("bind");
    exit(1);
  }
  return fd;
}

static void transmit(int fd, const unsigned char *p, int length) {
  sendto(fd, p, length, 0, (void *)&server, sizeof server);
}

static void ask(int fd, struct transaction *t, unsigned slot) {
  unsigned char p[700];
  int type = t->waits_for == OFFER ? DISCOVER : REQUEST;
  t->sent = now();
  transmit(fd, p, packet(p, type, t->client * SLOTS + slot, 0xaa, t->client, t));
}

static int by_size(const void *a, const void *b) {
  double d = *(const double *)a - *(const double *)b;
  return d < 0 ? -1 : d > 0;
}

static int take(int fd, char **v) {
  unsigned outstanding = atoi(v[4]), first = strtoul(v[6], 0, 0), clients = strtoul(v[7], 0, 0), next = 0;
  double seconds = atof(v[5]);
  unsigned long most = strtoul(v[8], 0, 0), begun = 0, done = 0, retries = 0, failed = 0, naks = 0, odd = 0, twice = 0;
  struct transaction *all = calloc(outstanding, sizeof *all);
  owners = calloc(1 << 24, sizeof *owners);
  double started = now();
#define BEGIN(k)                                                                                                      \
  do {                                                                                                                \
    all[k].waits_for = begun < most ? OFFER : 0;                                                                      \
    if (begun++ >= most) break;                                                                                       \
    all[k].client = first + next++ % clients;                                                                         \
    all[k].began = now();                                                                                             \
    all[k].tries = 0;                                                                                                 \
    ask(fd, &all[k], k);                                                                                              \
  } while (0)
  for (unsigned k = 0; k < outstanding; k++) BEGIN(k);

  while (now() < started + seconds && done + failed < most) {
    struct pollfd ready = {fd, POLLIN, 0};
    poll(&ready, 1, 20);
    unsigned char p[2000];
    for (int n; (n = recv(fd, p, sizeof p, 0)) >= 0;) {
      unsigned xid, address;
      memcpy(&xid, p + 4, 4);
      unsigned slot = ntohl(xid) % SLOTS;
      struct transaction *t = &all[slot < outstanding ? slot : 0];
      if (n < 244 || p[0] != 2 || slot >= outstanding || ntohl(xid) / SLOTS != (t->client & 0x3fffff)) {
        odd++;
        continue;
      }
      int type = 0;
      unsigned char id[4] = {0};
      for (int at = HEADER; at < n && p[at] != 255; at += p[at] ? 2 + p[at + 1] : 1) {
        if (p[at] == 53) type = p[at + 2];
        if (p[at] == 54) memcpy(id, p + at + 2, 4);
      }
      if (type == OFFER && t->waits_for == OFFER) {
        memcpy(t->address, p + 16, 4);
        memcpy(t->server, id, 4);
        t->waits_for = ACK;
        t->tries = 0;
        ask(fd, t, slot);
      } else if (type == ACK && t->waits_for == ACK) {
        if (done < MAX_LATENCIES) latencies[done] = now() - t->began;
        done++;
        memcpy(&address, p + 16, 4);
        unsigned *owner = &owners[ntohl(address) & 0xffffff];
        if (*owner && *owner != t->client + 1) twice++;
        *owner = t->client + 1;
        BEGIN(slot);
      } else if (type == NAK && t->waits_for) {
        naks++;
        BEGIN(slot);
      } else
        odd++;
    }
    double at = now();
    for (unsigned k = 0; k < outstanding; k++) {
      if (!all[k].waits_for || at - all[k].sent < 1) continue;
      retries++;
      if (++all[k].tries < TRIES) ask(fd, &all[k], k);
      else {
        failed++;
        BEGIN(k);
      }
    }
  }

  double took = now() - started;
  unsigned long kept = done < MAX_LATENCIES ? done : MAX_LATENCIES;
  qsort(latencies, kept, sizeof *latencies, by_size);
#define PART(share) (kept ? latencies[(unsigned long)((kept - 1) * (share))] * 1e3 : 0)
  printf("{\"done\":%lu,\"seconds\":%.3f,\"p50Ms\":%.3f,\"p99Ms\":%.3f,\"maxMs\":%.3f,\"retries\":%lu,\"failed\":%lu,"
         "\"naks\":%lu,\"odd\":%lu,\"twice\":%lu}\n",
         done, took, PART(0.5), PART(0.99), PART(1), retries, failed, naks, odd, twice);
  return 0;
}

static int flood(int fd, char **v) {
  double rate = atof(v[4]), seconds = atof(v[5]), started = now();
  unsigned long sent = 0;
  unsigned char p[700], ignored[2000];
  srandom(getpid());
  for (double at; (at = now()) < started + seconds;) {
    while (sent < (at - started) * rate) {
      unsigned client = (unsigned)random();
      transmit(fd, p, packet(p, DISCOVER, client, 0xee, client, 0));
      sent++;
    }
    while (recv(fd, ignored, sizeof ignored, 0) >= 0) continue;
    usleep(1000);
  }
  printf("{\"sent\":%lu}\n", sent);
  return 0;
}

int main(int c, char **v) {
  int floods = c == 6 && !strcmp(v[1], "flood"), takes = c == 9 && !strcmp(v[1], "take");
  if (!floods && !takes) {
    fprintf(stderr, "usage: dhcp-load take SERVER RELAYS OUTSTANDING SECONDS FIRST CLIENTS MOST\n"
                    "       dhcp-load flood SERVER RELAYS RATE SECONDS\n");
    return 2;
  }
  server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(67), .sin_addr.s_addr = inet_addr(v[2])};
  for (char *one = strtok(v[3], ","); one && relay_count < MAX_RELAYS; one = strtok(0, ","))
    relays[relay_count++] = inet_addr(one);
  int fd = open_socket(floods ? 0 : 67);
  return floods ? flood(fd, v) : take(fd, v);
}
