/* The marching solver on 8 lanes of double. */
#define REAL double
#define LANES 8
#define LANES_FILL 512
#define MARCH_KERNEL march_double8
#include "march.h"
