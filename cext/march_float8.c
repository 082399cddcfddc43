/* The marching solver on 8 lanes of float. */
#define REAL float
#define LANES_OF_FLOAT
#define LANES 8
#define LANES_FILL 256
#define MARCH_KERNEL march_float8
#include "march.h"
