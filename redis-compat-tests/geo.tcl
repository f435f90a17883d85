# Points on the earth: GEOADD, GEOPOS, GEODIST, GEOHASH, GEOSEARCH, GEOSEARCHSTORE, and the older GEORADIUS family.

# Five cities.
proc cities {} {
    expect :5 [ask GEOADD k 13.405 52.52 Berlin 2.3522 48.8566 Paris 12.4964 41.9028 Rome -0.1276 51.5072 London 21.0122 52.2297 Warsaw]
}

# An array of pairs as one flat array.
proc flat {reply} {
    if {[lindex $reply 1 0 0] ne "*"} {
        return $reply
    }
    list * [concat {*}[lmap pair [lindex $reply 1] {lindex $pair 1}]]
}

case "points are scores of a sorted set" {
    GEOADD k 13.405 52.52 Berlin -> :1
    GEOADD k 13.405 52.52 Berlin 2.3522 48.8566 Paris -> :1
    TYPE k                      -> +zset
    ZSCORE k Berlin             -> ,3673983950397063
    ZSCORE k Paris              -> ,3663832779122514
    GEOADD k 13.5 52.5 Berlin   -> :0
    GEOADD k CH 13.405 52.52 Berlin -> :1
    GEOADD k NX 1 1 Berlin 2 2 new -> :1
    GEOADD k XX CH 3 3 new 1 1 other -> :1
    GEOADD k xx nx 1 1 a        -> -ERR syntax error
    ZCARD k                     -> :3
    ZADD k 1 x                  -> :1
    GEOPOS k x                  -> [[,-179.99999731779098511 ,-85.05112497791824921]]
}

case "GEOADD refuses" {
    GEOADD k 1 2                -> -ERR wrong number of arguments for 'geoadd' command
    GEOADD k 1 2 a 3            -> -ERR syntax error
    GEOADD k NX XX CH           -> -ERR syntax error
    GEOADD k x 2 a              -> -ERR value is not a valid float
    GEOADD k 1 y a              -> -ERR value is not a valid float
    GEOADD k 181 2 a            -> -ERR invalid longitude,latitude pair 181.000000,2.000000
    GEOADD k 1 1 a 1 -85.1 b    -> -ERR invalid longitude,latitude pair 1.000000,-85.100000
    EXISTS k                    -> :0
    SET k v                     -> +OK
    GEOADD k 1 1 a              -> -WRONGTYPE Operation against a key holding the wrong kind of value
    GEOPOS k a                  -> -WRONGTYPE Operation against a key holding the wrong kind of value
    GEODIST k a b               -> -WRONGTYPE Operation against a key holding the wrong kind of value
    GEOHASH k a                 -> -WRONGTYPE Operation against a key holding the wrong kind of value
    GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 1 km -> -WRONGTYPE Operation against a key holding the wrong kind of value
}

check "positions, geohashes and distances" {
    cities
    expect {[[,13.40500205755233765 ,52.51999907056681138] nil* [,2.35219806432723999 ,48.8565995303492997]]} \
        [ask GEOPOS k Berlin nobody Paris]
    expect {[]} [ask GEOPOS k]
    expect {["u33dc0cppj0" nil "gcpvj0e54w0"]} [ask GEOHASH k Berlin nobody London]
    expect {"877711.1349"} [ask GEODIST k Berlin Paris]
    expect {"877.7111"} [ask GEODIST k Berlin Paris km]
    expect {"545.3858"} [ask GEODIST k Berlin Paris MI]
    expect {"2879629.7077"} [ask GEODIST k Berlin Paris ft]
    expect {"0.0000"} [ask GEODIST k Rome Rome]
    expect nil [ask GEODIST k Rome nobody]
    expect nil [ask GEODIST missing a b]
    expect {[nil* nil*]} [ask GEOPOS missing a b]
    expect {[nil nil]} [ask GEOHASH missing a b]
    expect {-ERR unsupported unit provided. please use M, KM, FT, MI} [ask GEODIST k Rome Paris yd]
    expect {-ERR syntax error} [ask GEODIST k Rome Paris km x]
}

check "searches in a circle" {
    cities
    expect {["Berlin" "Warsaw" "Paris" "London"]} [ask GEOSEARCH k FROMMEMBER Berlin BYRADIUS 1000 km ASC]
    expect {["London" "Paris" "Warsaw" "Berlin"]} [ask GEOSEARCH k FROMLONLAT 13.405 52.52 BYRADIUS 1000000 m DESC]
    expect {["Berlin" "Warsaw"]} [ask GEOSEARCH k FROMMEMBER Berlin BYRADIUS 1000 km COUNT 2]
    expect {["London"]} [ask GEOSEARCH k FROMMEMBER Berlin BYRADIUS 1000 km COUNT 1 DESC]
    same 2 [llength [lindex [ask GEOSEARCH k FROMMEMBER Berlin BYRADIUS 1000 km COUNT 2 ANY] 1]]
    expect {[["Berlin" "0.0000" :3673983950397063 [,13.40500205755233765 ,52.51999907056681138]] ["Warsaw" "517.3175" :3676555161469606 [,21.01219743490219116 ,52.22969999090888393]]]} \
        [ask GEOSEARCH k FROMMEMBER Berlin BYRADIUS 600 km ASC WITHCOORD WITHHASH WITHDIST]
    expect {[]} [ask GEOSEARCH k FROMLONLAT 0 0 BYRADIUS 1 km]
    expect {[]} [ask GEOSEARCH missing FROMMEMBER x BYRADIUS 1 km]
    expect {?["Berlin" "Paris" "Rome" "London" "Warsaw"]} [ask GEOSEARCH k FROMLONLAT 0 0 BYRADIUS 20000 km]
}

check "searches in a box" {
    cities
    expect {["Berlin" "Warsaw"]} [ask GEOSEARCH k FROMMEMBER Berlin BYBOX 1200 200 km ASC]
    expect {["Berlin" "Rome"]} [ask GEOSEARCH k FROMMEMBER Berlin BYBOX 300 3000 km ASC]
    expect {["Berlin"]} [ask GEOSEARCH k BYBOX 300 300 mi FROMMEMBER Berlin]
}

case "searches that are refused" {
    GEOADD k 1 1 a              -> :1
    GEOSEARCH k FROMMEMBER b BYRADIUS 1 km -> -ERR could not decode requested zset member
    GEOSEARCH k FROMMEMBER a BYRADIUS x km -> -ERR need numeric radius
    GEOSEARCH k FROMMEMBER a BYRADIUS -1 km -> -ERR radius cannot be negative
    GEOSEARCH k FROMMEMBER a BYRADIUS 1 yd -> -ERR unsupported unit provided. please use M, KM, FT, MI
    GEOSEARCH k FROMMEMBER a BYBOX x 1 km -> -ERR need numeric width
    GEOSEARCH k FROMMEMBER a BYBOX 1 x km -> -ERR need numeric height
    GEOSEARCH k FROMMEMBER a BYBOX 1 -1 km -> -ERR height or width cannot be negative
    GEOSEARCH k FROMMEMBER a FROMLONLAT 1 1 BYRADIUS 1 km -> -ERR syntax error
    GEOSEARCH k FROMMEMBER a BYBOX 1 1 km BYRADIUS 1 km -> -ERR syntax error
    GEOSEARCH k FROMMEMBER a ASC DESC ASC -> -ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH
    geosearch k BYRADIUS 1 km ASC ASC -> -ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for geosearch
    GEOSEARCH k FROMMEMBER a BYRADIUS 1 km ANY -> -ERR the ANY argument requires COUNT argument
    GEOSEARCH k FROMMEMBER a BYRADIUS 1 km COUNT 0 -> -ERR COUNT must be > 0
    GEOSEARCH k FROMMEMBER a BYRADIUS 1 km COUNT x -> -ERR value is not an integer or out of range
    GEOSEARCH k FROMMEMBER a BYRADIUS 1 km STOREDIST -> -ERR syntax error
    GEOSEARCH k FROMLONLAT 200 1 BYRADIUS 1 km -> -ERR invalid longitude,latitude pair 200.000000,1.000000
    GEOSEARCHSTORE d k FROMMEMBER a BYRADIUS 1 km WITHDIST -> -ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options
}

check "what is found can be stored" {
    cities
    expect :2 [ask GEOSEARCHSTORE d k FROMMEMBER Berlin BYRADIUS 600 km]
    expect {["Berlin" ,3673983950397063 "Warsaw" ,3676555161469606]} [flat [ask ZRANGE d 0 -1 WITHSCORES]]
    expect :2 [ask GEOSEARCHSTORE d k FROMMEMBER Berlin BYRADIUS 600 km STOREDIST]
    expect ,517.3175488369637 [ask ZSCORE d Warsaw]
    expect :1 [ask GEOSEARCHSTORE d k FROMMEMBER Berlin BYRADIUS 600 km COUNT 1]
    expect {"listpack"} [ask OBJECT ENCODING d]
    expect :0 [ask GEOSEARCHSTORE d k FROMLONLAT 0 0 BYRADIUS 1 km]
    expect :0 [ask EXISTS d]
    ask SET d x
    expect :0 [ask GEOSEARCHSTORE d missing FROMMEMBER x BYRADIUS 1 km]
    expect :0 [ask EXISTS d]
}

check "GEORADIUS and its kin" {
    cities
    expect {["Berlin" "Warsaw"]} [ask GEORADIUS k 13.405 52.52 600 km ASC]
    expect {["Berlin" "Warsaw"]} [ask GEORADIUS_RO k 13.405 52.52 600 km ASC]
    expect {["Berlin" "Warsaw"]} [ask GEORADIUSBYMEMBER k Berlin 600 km ASC]
    expect {["Berlin" "Warsaw"]} [ask GEORADIUSBYMEMBER_RO k Berlin 600 km ASC]
    expect {[["Warsaw" "517.3175"]]} [ask GEORADIUSBYMEMBER k Berlin 518 km COUNT 1 DESC WITHDIST]
    expect :2 [ask GEORADIUS k 13.405 52.52 600 km STORE d]
    expect :2 [ask GEORADIUSBYMEMBER k Berlin 600 km STOREDIST d]
    expect ,0 [ask ZSCORE d Berlin]
    expect {-ERR syntax error} [ask GEORADIUS_RO k 13.405 52.52 600 km STORE d]
    expect {-ERR syntax error} [ask GEORADIUSBYMEMBER_RO k Berlin 600 km STORE d]
    expect {-ERR syntax error} [ask GEORADIUS k 13.405 52.52 600 km STORE]
    expect {-ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options} \
        [ask GEORADIUS k 13.405 52.52 600 km STORE d WITHDIST]
    expect {-ERR could not decode requested zset member} [ask GEORADIUSBYMEMBER k nobody 600 km]
    expect {[]} [ask GEORADIUSBYMEMBER missing nobody x y]
    expect {[]} [ask GEORADIUS missing 1 1 1 km]
    expect :0 [ask GEORADIUS missing 1 1 1 km STORE d]
    expect :0 [ask EXISTS d]
}

case "where the keys are" {
    COMMAND GETKEYS GEORADIUS k 1 2 3 km STORE d -> ["k" "d"]
    COMMAND GETKEYS GEORADIUS k 1 2 3 km -> ["k"]
    COMMAND GETKEYS GEORADIUSBYMEMBER k m 3 km STOREDIST d -> ["k" "d"]
    COMMAND GETKEYS GEOSEARCHSTORE d s FROMMEMBER x BYRADIUS 1 km -> ["d" "s"]
}

check "points beyond the date line are found from the other side" {
    expect :2 [ask GEOADD k 179.99 0 east -179.99 0 west]
    expect {["west" "east"]} [ask GEOSEARCH k FROMMEMBER west BYRADIUS 5 km ASC]
    expect {"2224.9614"} [ask GEODIST k east west]
}
