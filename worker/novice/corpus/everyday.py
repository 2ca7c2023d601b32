"""Everyday tools, written by hand; `toolbox.py` makes up the others."""

from worker.novice.corpus.params import (
    Param,
    any_of,
    choice,
    clock,
    date,
    decimal,
    text_value,
    whole,
    words,
)
from worker.novice.corpus.people import any_name, any_place, any_word, made_up_word
from worker.novice.corpus.tool import Tool
from worker.novice.corpus.words import CATEGORIES, SPOTS

CITY = Param("city", any_place, "[in {v}|for {v}|in {v}]")
EVERYDAY = (
    Tool(
        "get_weather",
        "Get the current weather of a city",
        (CITY, choice("unit", " in {v}", "celsius", "fahrenheit")),
        "[what is the weather|how is the weather|what's the weather like|is it raining|will it rain"
        "|how warm is it|is it cold|tell me the weather|weather|weather forecast|is it sunny"
        "|do i need an umbrella|what is the temperature|how hot is it|what's the forecast"
        "|do i need a coat|is it snowing]{clauses}[ today| now||||][?||]",
        ("unit",),
    ),
    Tool(
        "local_time",
        "Tell the local time in a city",
        (CITY,),
        "[what time is it|tell me the time|how late is it|what is the local time"
        "|time]{clauses}[?||]",
    ),
    Tool(
        "send_email",
        "Send an email",
        (
            Param("to", any_name, "to {v}"),
            Param("subject", text_value, "[with subject {v}|about {v}]"),
        ),
        "[send an email|write an email|email|send a mail|mail]{clauses}",
    ),
    Tool(
        "send_message",
        "Send a text message to a person",
        (
            Param("recipient", any_name, "to {v}"),
            Param("text", words, "[saying {v}|: {v}|that says {v}]"),
        ),
        "[send a message|text|write a message|send a text]{clauses}",
    ),
    Tool(
        "set_timer",
        "Start a timer",
        (Param("minutes", whole, "for {v} minutes", "integer"),),
        "[set a timer|start a timer|timer|countdown|please set a timer|wake me]{clauses}",
    ),
    Tool(
        "set_alarm",
        "Set an alarm clock",
        (Param("time", clock, "[at {v}|for {v}]"),),
        "[set an alarm|wake me up|wake me|alarm|i need to get up|set my alarm]{clauses}",
    ),
    Tool(
        "play_music",
        "Play a song",
        (Param("song", words, "{v}"),),
        "[play|play the song|put on|i want to hear|can you play|please play]{clauses}",
    ),
    Tool(
        "search_web",
        "Search the web",
        (Param("query", words, "for {v}"),),
        "[search the web|search|google|look|search the internet|look online]{clauses}",
    ),
    Tool(
        "translate_text",
        "Translate a text",
        (
            Param("text", words, '[{v}|"{v}"]'),
            Param("language", any_of(*CATEGORIES["language"][1]), "[to {v}|into {v}]"),
        ),
        "[translate|please translate|can you translate]{clauses}",
    ),
    Tool(
        "create_event",
        "Put an event into the calendar",
        (
            Param("title", text_value, "[called {v}|titled {v}|: {v}]"),
            Param("date", date, "on {v}"),
            Param("time", clock, "at {v}"),
        ),
        "[create an event|add an event|schedule an event|plan an event|put an event]{clauses}",
        ("time",),
    ),
    Tool(
        "book_flight",
        "Book a flight",
        (
            Param("origin", any_place, "from {v}"),
            Param("destination", any_place, "to {v}"),
            Param("date", date, "on {v}"),
        ),
        "[book a flight|i need a flight|fly me|get me a ticket|i want to fly]{clauses}",
        ("date",),
    ),
    Tool(
        "book_table",
        "Reserve a table in a restaurant",
        (
            Param("guests", lambda rng: rng.randint(1, 12), "for {v} people", "integer"),
            Param("time", clock, "at {v}"),
        ),
        "[book a table|reserve a table|i need a table|get us a table|dinner]{clauses}",
    ),
    Tool(
        "turn_light",
        "Switch the light of a room on or off",
        (Param("room", any_of(*SPOTS), "in the {v}"), choice("state", "{v}", "on", "off")),
        "[switch the light|turn the light|put the light|turn the lights|lights]{clauses}",
    ),
    Tool(
        "set_temperature",
        "Set the heating of a room",
        (
            Param("room", any_of(*SPOTS), "in the {v}"),
            Param("degrees", lambda rng: rng.randint(10, 30), "to {v} degrees", "integer"),
        ),
        "[set the temperature|set the heating|heat|make it warm|change the temperature]{clauses}",
    ),
    Tool(
        "convert_currency",
        "Convert an amount of money",
        (
            Param("amount", whole, "{v}", "integer"),
            Param("source", any_of("EUR", "USD", "GBP", "JPY"), "{v}"),
            Param("target", any_of("CHF", "SEK", "INR", "CAD"), "[to {v}|into {v}|in {v}]"),
        ),
        "[convert|how much is|change|what is|exchange]{clauses}",
    ),
    Tool(
        "get_stock_price",
        "Get the price of a share",
        (Param("symbol", lambda rng: made_up_word(rng)[:4].upper(), "[of {v}|for {v}]"),),
        "[what is the stock price|get the share price|what is the price|how much is a "
        "share]{clauses}[?||]",
    ),
    Tool(
        "call_contact",
        "Call a person by telephone",
        (Param("name", any_name, "{v}"),),
        "[call|phone|ring|please call|i want to talk to|dial]{clauses}",
    ),
    Tool(
        "set_reminder",
        "Remind the user of something",
        (Param("text", words, "[of {v}|about {v}|to {v}]"), Param("time", clock, "at {v}")),
        "[remind me|set a reminder|please remind me]{clauses}",
    ),
    Tool(
        "order_pizza",
        "Order a pizza",
        (
            choice("size", "{v}", "small", "medium", "large"),
            Param(
                "toppings", lambda rng: rng.sample(CATEGORIES["food"][1], 2), "with {v}", "array"
            ),
        ),
        "[order a pizza|i want a pizza|get me a pizza|pizza please:]{clauses}",
    ),
    Tool(
        "multiply",
        "Multiply two numbers",
        (
            Param("a", whole, "{v}", "integer"),
            Param("b", whole, "[times {v}|by {v}|and {v}]", "integer"),
        ),
        "[multiply|what is|calculate|how much is]{clauses}",
    ),
    Tool(
        "get_route",
        "Find the way between two cities",
        (Param("start", any_place, "from {v}"), Param("end", any_place, "to {v}")),
        "[how do i get|find a route|show me the way|what is the way|navigate|route]{clauses}[?||]",
    ),
    Tool(
        "define_word",
        "Look up what a word means",
        (Param("word", any_word, "{v}"),),
        "[define|what does this mean:|look up the word|what is the meaning of|dictionary entry "
        "for]{clauses}",
    ),
    Tool(
        "roll_dice",
        "Roll dice",
        (Param("sides", whole, "with {v} sides", "integer"),),
        "[roll a die|roll dice|throw a dice|roll the dice]{clauses}",
    ),
    Tool(
        "track_package",
        "Find out where a package is",
        (Param("number", whole, "[{v}|number {v}|with number {v}]", "integer"),),
        "[where is my package|track package|track my parcel|find my package|is my parcel "
        "here]{clauses}[?||]",
    ),
    Tool(
        "add_to_list",
        "Add an item to the shopping list",
        (Param("item", any_word, "{v}"),),
        "[add|put|i need to buy|put on my shopping list:|add to the list|note down]{clauses}"
        "[ to the list| on the list| to my shopping list|]",
    ),
    Tool(
        "convert_length",
        "Convert meters to feet",
        (Param("meters", decimal, "{v} meters", "number"),),
        "[convert|how many feet are|what is|change]{clauses}[ to feet| in feet|]",
    ),
)
