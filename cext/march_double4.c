/* The marching solver on 4 lanes of double. */
#define REAL double
#define LANES 4
#define LANES_FILL 256
#define MARCH_KERNEL march_double4
#include "march.h"
