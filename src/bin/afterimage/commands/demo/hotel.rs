//! A hotel that writes history: guests, rooms, reservations, invoices. The same seed makes the same
//! transactions, so a run that was killed can go on where it stopped.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Rooms of the hotel; so many are let at once at most.
const ROOMS: u64 = 120;

const DESKS: [&str; 4] = ["desk-1", "desk-2", "desk-3", "online"];
const FIRST_NAMES: [&str; 12] = [
    "Ana", "Bilal", "Chiara", "Dmitri", "Emeka", "Freya", "Goran", "Hana", "Inés", "Jürgen",
    "Kyoko", "Luís",
];
const LAST_NAMES: [&str; 10] = [
    "Weber", "Okafor", "Rossi", "Silva", "Tanaka", "Novak", "Haddad", "Larsen", "Petrov", "Moreau",
];
const WISHES: [&str; 6] = [
    "quiet room",
    "late arrival, about 23:30",
    "two beds",
    "vegan breakfast",
    "baby cot",
    "high floor with a view of the harbour",
];

/// A pseudo-random sequence: `SplitMix64` (Steele, Lea, Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let index = self.below(choices.len() as u64);
        usize::try_from(index).ok().and_then(|index| choices.get(index)).copied().unwrap_or("")
    }
}

/// One transaction of the hotel.
pub(super) struct Deed {
    pub actor: &'static str,
    pub message: String,
    /// Records with their new values; without one, the record is deleted.
    pub writes: Vec<(&'static str, String, Option<Value>)>,
}

/// The hotel as its staff know it.
pub(super) struct Hotel {
    random: Random,
    guests: u64,
    reservations: u64,
    invoices: u64,
    rooms_built: u64,
    booked: Vec<Value>,
    staying: Vec<Value>,
    unpaid: Vec<Value>,
    rooms: BTreeMap<u64, Value>,
}

impl Hotel {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            guests: 0,
            reservations: 0,
            invoices: 0,
            rooms_built: 0,
            booked: Vec::new(),
            staying: Vec::new(),
            unpaid: Vec::new(),
            rooms: BTreeMap::new(),
        }
    }

    /// What happens next.
    pub(super) fn next(&mut self) -> Deed {
        if self.rooms_built < ROOMS {
            return self.open_rooms();
        }
        match self.random.below(100) {
            0..24 => self.book(),
            24..44 if !self.booked.is_empty() => self.check_in(),
            44..62 if !self.staying.is_empty() => self.check_out(),
            62..76 if !self.unpaid.is_empty() => self.pay(),
            76..84 if !self.staying.is_empty() => self.move_room(),
            84..88 if !self.booked.is_empty() => self.cancel(),
            _ => self.clean(),
        }
    }

    fn open_rooms(&mut self) -> Deed {
        let mut writes = Vec::new();
        for _ in 0..10 {
            let number = 100 * (1 + self.rooms_built / 20) + self.rooms_built % 20 + 1;
            self.rooms_built += 1;
            let rate = 80 + 5 * self.random.below(24);
            let room = json!({"number": number, "beds": 1 + self.random.below(3),
                "rate": rate, "status": "free", "cleaned": 0});
            self.rooms.insert(number, room.clone());
            writes.push(("rooms", number.to_string(), Some(room)));
        }
        Deed { actor: "management", message: "open a floor".into(), writes }
    }

    fn book(&mut self) -> Deed {
        self.guests += 1;
        self.reservations += 1;
        let guest = format!("g-{}", self.guests);
        let (first, last) = (self.random.pick(&FIRST_NAMES), self.random.pick(&LAST_NAMES));
        let person = json!({"name": format!("{first} {last}"),
            "email": format!("{}.{}@example.com", first.to_lowercase(), last.to_lowercase()),
            "phone": format!("+49 30 {:07}", self.random.below(10_000_000)),
            "wishes": [self.random.pick(&WISHES)]});
        let id = format!("r-{}", self.reservations);
        let reservation = json!({"id": id, "guest": guest, "status": "confirmed",
            "room": null, "nights": 1 + self.random.below(9), "rate": 80 + self.random.below(120)});
        self.booked.push(reservation.clone());
        Deed {
            actor: self.random.pick(&DESKS),
            message: format!("reservation of {first} {last}"),
            writes: vec![("guests", guest, Some(person)), ("reservations", id, Some(reservation))],
        }
    }

    fn check_in(&mut self) -> Deed {
        let mut stay = take(&mut self.random, &mut self.booked);
        let number = self.any_room();
        set(&mut stay, "status", json!("checked-in"));
        set(&mut stay, "room", json!(number));
        self.staying.push(stay.clone());
        let room = self.set_room(number, "occupied");
        let id = text(&stay, "id");
        Deed {
            actor: self.random.pick(&DESKS),
            message: format!("check-in {id}, room {number}"),
            writes: vec![("reservations", id, Some(stay)), room],
        }
    }

    fn check_out(&mut self) -> Deed {
        let mut stay = take(&mut self.random, &mut self.staying);
        set(&mut stay, "status", json!("checked-out"));
        let number = stay.get("room").and_then(Value::as_u64).unwrap_or(101);
        let room = self.set_room(number, "to be cleaned");
        self.invoices += 1;
        let field = |name: &str| stay.get(name).and_then(Value::as_u64).unwrap_or(0);
        let total = field("nights") * field("rate") * 100;
        let (id, invoice) = (text(&stay, "id"), format!("i-{}", self.invoices));
        let bill = json!({"id": invoice, "reservation": id, "guest": text(&stay, "guest"),
            "total": total, "currency": "EUR", "status": "open"});
        self.unpaid.push(bill.clone());
        Deed {
            actor: self.random.pick(&DESKS),
            message: format!("check-out {id}"),
            writes: vec![("reservations", id, Some(stay)), room, ("invoices", invoice, Some(bill))],
        }
    }

    fn pay(&mut self) -> Deed {
        let mut bill = take(&mut self.random, &mut self.unpaid);
        set(&mut bill, "status", json!("paid"));
        set(&mut bill, "by", json!(self.random.pick(&["card", "cash", "transfer"])));
        let id = text(&bill, "id");
        let message = format!("payment of {id}");
        Deed { actor: "cashier", message, writes: vec![("invoices", id, Some(bill))] }
    }

    fn move_room(&mut self) -> Deed {
        let mut stay = take(&mut self.random, &mut self.staying);
        let old = stay.get("room").and_then(Value::as_u64).unwrap_or(101);
        let new = self.any_room();
        set(&mut stay, "room", json!(new));
        self.staying.push(stay.clone());
        let id = text(&stay, "id");
        let mut writes = vec![("reservations", id.clone(), Some(stay))];
        if old != new {
            writes.push(self.set_room(old, "to be cleaned"));
        }
        writes.push(self.set_room(new, "occupied"));
        let message = format!("{id} asked for a quieter room");
        Deed { actor: self.random.pick(&DESKS), message, writes }
    }

    fn cancel(&mut self) -> Deed {
        let id = text(&take(&mut self.random, &mut self.booked), "id");
        let message = format!("cancellation of {id}");
        Deed { actor: "online", message, writes: vec![("reservations", id, None)] }
    }

    fn clean(&mut self) -> Deed {
        let number = self.any_room();
        let write = self.set_room(number, "free");
        Deed { actor: "housekeeping", message: format!("cleaned {number}"), writes: vec![write] }
    }

    fn any_room(&mut self) -> u64 {
        let nth = usize::try_from(self.random.below(self.rooms.len() as u64)).unwrap_or(0);
        self.rooms.keys().nth(nth).copied().unwrap_or(101)
    }

    fn set_room(&mut self, number: u64, status: &str) -> (&'static str, String, Option<Value>) {
        let cleaned = self.random.below(1_000_000);
        let room = self.rooms.entry(number).or_insert_with(|| json!({"number": number}));
        set(room, "status", json!(status));
        set(room, "cleaned", json!(cleaned));
        ("rooms", number.to_string(), Some(room.clone()))
    }
}

fn take(random: &mut Random, list: &mut Vec<Value>) -> Value {
    let index = usize::try_from(random.below(list.len() as u64)).unwrap_or(0);
    if index < list.len() { list.swap_remove(index) } else { Value::Null }
}

fn set(record: &mut Value, field: &str, value: Value) {
    if let Some(fields) = record.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

fn text(record: &Value, field: &str) -> String {
    record.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}
